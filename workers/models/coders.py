"""Encoders and decoders of 28 x 28 pictures, and the pictures of their latent space.

Encoders take (N, 1, 28, 28) to (N, numbers), decoders (N, latent) to (N, 1, 28, 28), without an
activation at the end.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..context import Context
from ..data.dataset import Part
from ..training.plots import save_grid, save_scatter

SIZE = 28
COURSE = (128, 64)
_SHOWN, _POINTS = 10, 3000


class Flat(nn.Module):
    """(N, C, H, W) to (N, H * W * C): the order in memory of channels_last.

    nn.Flatten would hand its gradient back in another order than the activations have, and a
    pointwise function of two orders is computed number by number.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Flatten."""
        return x.permute(0, 2, 3, 1).flatten(1)


class Folded(nn.Module):
    """(N, side * side * channels) to (N, channels, side, side), the reverse of `Flat`."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.channels, self.side = channels, side

    def forward(self, x: Tensor) -> Tensor:
        """Fold."""
        return x.view(-1, self.side, self.side, self.channels).permute(0, 3, 1, 2)


def mlp_encoder(numbers: int, hidden: Sequence[int], norm: type[nn.Module] | None) -> nn.Module:
    """Linear layers; normalised ones have GELU, the course's have ReLU."""
    widths = [SIZE * SIZE, *hidden]
    return nn.Sequential(nn.Flatten(), *_dense_all(widths, norm), nn.Linear(widths[-1], numbers))


def mlp_decoder(latent: int, hidden: Sequence[int], norm: type[nn.Module] | None) -> nn.Module:
    """The encoder's layers in reverse."""
    widths = [latent, *reversed(hidden)]
    return nn.Sequential(
        *_dense_all(widths, norm),
        nn.Linear(widths[-1], SIZE * SIZE),
        nn.Unflatten(1, (1, SIZE, SIZE)),
    )


def conv_encoder(numbers: int, width: int, hidden: Sequence[int]) -> nn.Module:
    """Two strided convolutions, 28 to 14 to 7 pixels, and linear layers."""
    return nn.Sequential(
        *_strided(nn.Conv2d(1, width, 4, 2, 1, bias=False), width),
        *_strided(nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False), 2 * width),
        Flat(),
        *_dense_all([98 * width, *hidden], nn.LayerNorm),
        nn.Linear(hidden[-1], numbers),
    )


def conv_decoder(latent: int, width: int, hidden: Sequence[int]) -> nn.Module:
    """The encoder's layers in reverse: linear ones, then two transposed convolutions."""
    return nn.Sequential(
        *_dense_all([latent, *reversed(hidden)], nn.LayerNorm),
        nn.Linear(hidden[0], 98 * width),
        Folded(2 * width, 7),
        nn.BatchNorm2d(2 * width),
        nn.GELU(),
        *_strided(nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False), width),
        nn.ConvTranspose2d(width, 1, 4, 2, 1),
    )


def _dense_all(widths: Sequence[int], norm: type[nn.Module] | None) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inner, outer in itertools.pairwise(widths):
        layers.append(nn.Linear(inner, outer))
        layers += [nn.ReLU()] if norm is None else [norm(outer), nn.GELU()]
    return layers


def _strided(convolution: nn.Module, width: int) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(width), nn.GELU()]


def to_bytes(pictures: Tensor) -> NDArray[np.uint8]:
    """Pictures (N, 1 or 3, H, W) in 0..1 as (N, H, W) or (N, H, W, 3) in 0..255."""
    pixels = pictures.float().clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1)
    array: NDArray[np.uint8] = pixels.cpu().numpy()
    return array[..., 0] if array.shape[-1] == 1 else array


def save_reconstructions(
    ctx: Context,
    originals: Tensor,
    rebuilt: Tensor,
    name: str = "reconstructions.png",
    role: str = "plot",
) -> None:
    """Originals above what became of them, ten to a row; both (N, 1, H, W) in 0..1."""
    rows, words = [], []
    for start in range(0, len(originals), _SHOWN):
        for word, pictures in (("original", originals), ("rebuilt", rebuilt)):
            part = to_bytes(pictures[start : start + _SHOWN])
            blank = np.full((min(_SHOWN, len(originals)) - len(part), *part.shape[1:]), 255)
            rows.append(np.concatenate([part, blank.astype(np.uint8)]))
            words.append(word)
    with ctx.artifact(name, role=role) as path:
        save_grid(path, np.concatenate(rows), columns=min(_SHOWN, len(originals)), rows=words)


def save_latents(ctx: Context, latents: Tensor, part: Part, classes: Sequence[str]) -> None:
    """The first two or three latent dimensions of the test pictures, coloured by class."""
    if latents.shape[1] < 2:
        return
    labels = None if part.labels is None else part.labels[:_POINTS].numpy()
    with ctx.artifact("latent-space.png", role="plot") as path:
        save_scatter(path, latents[:_POINTS].float().cpu().numpy(), labels, classes)


def save_manifold(ctx: Context, pictures: Tensor, columns: int) -> None:
    """Pictures (N, 1, H, W) in 0..1 decoded from a grid over two latent dimensions."""
    with ctx.artifact("manifold.png", role="plot") as path:
        save_grid(
            path, to_bytes(pictures), columns=columns,
            title="decoded from a grid over the first two latent dimensions",
        )  # fmt: skip


def grid_of(latents: Tensor, side: int = 12) -> Tensor:
    """A grid (side^2, latent) over the middle 90 % of two dimensions, the rest at the mean."""
    low, high = latents.quantile(0.05, dim=0), latents.quantile(0.95, dim=0)
    grid = latents.mean(0).repeat(side * side, 1)
    steps = torch.linspace(0, 1, side)
    grid[:, 0] = low[0] + (high[0] - low[0]) * steps.repeat(side)
    if latents.shape[1] > 1:
        grid[:, 1] = low[1] + (high[1] - low[1]) * steps.repeat_interleave(side)
    return grid
