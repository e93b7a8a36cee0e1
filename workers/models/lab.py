"""CIE L*a*b* and sRGB, for batches of pictures: IEC 61966-2-1, white point D65.

L is 0..100, a and b are about -110..110; RGB is 0..1. All are (N, 3, H, W), float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

_TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
_WHITE = (0.95047, 1.0, 1.08883)
_EDGE = 6 / 29


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """RGB in 0..1 as L*a*b*."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055).clamp_min(0) ** 2.4)
    xyz = _mixed(linear, _TO_XYZ) / _white(rgb)
    f = torch.where(xyz > _EDGE**3, xyz.clamp_min(1e-9) ** (1 / 3), xyz / (3 * _EDGE**2) + 4 / 29)
    x, y, z = f.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """L*a*b* as RGB; colours that no screen shows are cut to 0..1."""
    lightness, a, b = lab.unbind(1)
    y = (lightness + 16) / 116
    f = torch.stack([y + a / 500, y, y - b / 200], dim=1)
    xyz = torch.where(f > _EDGE, f**3, 3 * _EDGE**2 * (f - 4 / 29)) * _white(lab)
    inverse = torch.linalg.inv(torch.tensor(_TO_XYZ, dtype=torch.float64)).tolist()
    linear = _mixed(xyz, inverse).clamp(0, 1)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _mixed(pictures: Tensor, matrix: object) -> Tensor:
    weights = torch.tensor(matrix, dtype=pictures.dtype, device=pictures.device)
    return torch.einsum("ij,njhw->nihw", weights, pictures)


def _white(pictures: Tensor) -> Tensor:
    white = torch.tensor(_WHITE, dtype=pictures.dtype, device=pictures.device)
    return white[None, :, None, None]
