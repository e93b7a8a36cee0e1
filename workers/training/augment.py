"""Augmentation of whole batches as tensor operations, drawn for each picture by itself.

`shift` gives what albumentations' `Affine(translate_px=...)` gives with its constant black border,
pixel for pixel, in one gather over the batch instead of a call for each picture.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

Operation = Callable[[Tensor, torch.Generator], Tensor]


def shift(pictures: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Move every picture by whole pixels; what comes in is black.

    Args:
        pictures: (N, C, H, W), of any type.
        across: (N,) pixels to the right, negative to the left.
        down: (N,) pixels down, negative up.
    """
    x, y = int(across.abs().max()), int(down.abs().max())
    height, width = pictures.shape[-2:]
    padded = pad(pictures, (x, x, y, y))
    rows = torch.arange(height, device=pictures.device) + y - down[:, None]
    columns = torch.arange(width, device=pictures.device) + x - across[:, None]
    # Indices with a channel slice between them would put the channels last.
    first = torch.arange(len(pictures), device=pictures.device)[:, None, None, None]
    channel = torch.arange(pictures.shape[1], device=pictures.device)[None, :, None, None]
    return padded[first, channel, rows[:, None, :, None], columns[:, None, None, :]]


def random_shift(across: int, down: int) -> Operation:
    """An operation that shifts by up to so many pixels, every picture by its own."""

    def apply(pictures: Tensor, generator: torch.Generator) -> Tensor:
        count = len(pictures)
        x = torch.randint(-across, across + 1, (count,), generator=generator)
        y = torch.randint(-down, down + 1, (count,), generator=generator)
        return shift(pictures, x.to(pictures.device), y.to(pictures.device))

    return apply


def random_flip(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror every second picture on average, left to right."""
    chosen = torch.rand(len(pictures), generator=generator) < 0.5
    chosen = chosen.to(pictures.device)[:, None, None, None]
    return torch.where(chosen, pictures.flip(-1), pictures)


def random_erase(share: float) -> Operation:
    """An operation that blackens a rectangle in a share of the pictures (Zhong et al., 2020).

    Its sides are a fifth to half of the picture's.
    """

    def apply(pictures: Tensor, generator: torch.Generator) -> Tensor:
        count, (height, width) = len(pictures), pictures.shape[-2:]
        draw = torch.rand(5, count, generator=generator).to(pictures.device)
        erased = (draw[0] < share)[:, None, None, None]
        inside = _between(draw[1], draw[2], height)[:, None, :, None]
        inside = inside & _between(draw[3], draw[4], width)[:, None, None, :]
        return pictures.masked_fill(erased & inside, 0)

    return apply


def _between(place: Tensor, length: Tensor, side: int) -> Tensor:
    """A mask (N, side): true on a stretch of a fifth to half of the side."""
    long = ((0.2 + 0.3 * length) * side).round()
    first = (place * (side - long + 1)).floor()[:, None]
    position = torch.arange(side, device=place.device)
    return (position >= first) & (position < first + long[:, None])


def chain(*operations: Operation | None) -> Operation | None:
    """One operation after the other; None where there is none."""
    wanted = [operation for operation in operations if operation is not None]
    if not wanted:
        return None

    def apply(pictures: Tensor, generator: torch.Generator) -> Tensor:
        for operation in wanted:
            pictures = operation(pictures, generator)
        return pictures

    return apply
