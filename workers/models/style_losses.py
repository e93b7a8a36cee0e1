"""What a painting is measured by: Gram matrices and total variation.

Gatys, Ecker and Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016;
equations named below are its.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Losses(NamedTuple):
    """One evaluation: the weighted total, and its parts before weighting (equation 7)."""

    total: float
    content: float
    style: float
    tv: float


class Gram(torch.autograd.Function):
    """The Gram matrix of activations (1, C, H, W): (C, C) in fp32, divided by H x W (equation 3).

    Written out because autograd would multiply twice on the way back, in fp32: a third of the
    time of a step on a CPU that has bf16.
    """

    @staticmethod
    def forward(ctx: Any, activations: Tensor) -> Tensor:
        """Multiply in fp32, whatever the activations' type."""
        ctx.save_for_backward(activations)
        places = activations.permute(0, 2, 3, 1).flatten(0, 2).float()
        return places.T @ places / len(places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Multiply in the activations' type, which the result has anyway."""
        (activations,), (gradient,) = ctx.saved_tensors, gradients
        places = activations.permute(0, 2, 3, 1)
        towards = (gradient + gradient.T) / (places.shape[1] * places.shape[2])
        product: Tensor = places @ towards.to(places.dtype)
        return product.permute(0, 3, 1, 2)


def gram(activations: Tensor) -> Tensor:
    """Return the Gram matrix of activations (1, C, H, W) as (C, C), fp32."""
    matrix: Tensor = Gram.apply(activations)
    return matrix


def total_variation(picture: Tensor) -> Tensor:
    """Return the mean squared difference of neighbouring pixels, in grey levels of 0..255."""
    across, down = picture.diff(dim=3), picture.diff(dim=2)
    return 255**2 * (across.square().sum() + down.square().sum()) / picture.numel()
