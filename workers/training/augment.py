"""Augmentation of whole batches as tensor operations, drawn for each picture by itself.

`shift` gives what albumentations' `Affine(translate_px=...)` gives with its constant black border,
pixel for pixel, in one gather over the batch instead of a call for each picture. A pipeline of
albumentations that a job brings is applied picture by picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, pad

from cvq.errors import InvalidInputError, PermanentError, SetupError
from cvq.inputs.pipelines import make_pipeline
from cvq.kinds.training import ImageTrainingSpec

Operation = Callable[[Tensor, torch.Generator], Tensor]


def shift(
    pictures: Tensor, across: Tensor, down: Tensor, reach: tuple[int, int] | None = None
) -> Tensor:
    """Move every picture by whole pixels; what comes in is black.

    Args:
        pictures: (N, C, H, W), of any type.
        across: (N,) pixels to the right, negative to the left.
        down: (N,) pixels down, negative up.
        reach: the largest moves across and down that may come; default: those that do.
    """
    x, y = reach or (int(across.abs().max()), int(down.abs().max()))
    padded = pad(pictures, (x, x, y, y))
    height, width = pictures.shape[-2:]
    stride = padded.shape[-1]
    # The pixels of an unmoved picture within the padded one; a move is a constant added to all.
    rows = torch.arange(y, y + height, device=pictures.device) * stride
    unmoved = rows[:, None] + torch.arange(x, x + width, device=pictures.device)
    pixels = unmoved.flatten() - (down * stride + across)[:, None]
    chosen = pixels[:, None].expand(-1, pictures.shape[1], -1)
    return padded.flatten(2).gather(2, chosen).view_as(pictures)


def random_shift(across: int, down: int) -> Operation:
    """An operation that shifts by up to so many pixels, every picture by its own."""

    def apply(pictures: Tensor, generator: torch.Generator) -> Tensor:
        count = len(pictures)
        x = torch.randint(-across, across + 1, (count,), generator=generator)
        y = torch.randint(-down, down + 1, (count,), generator=generator)
        moved = x.to(pictures.device), y.to(pictures.device)
        return shift(pictures, *moved, reach=(across, down))

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


def random_affine(*, degrees: float, scale: float, shift: float) -> Operation:
    """An operation that turns, scales and moves every picture by its own draw; edges are kept.

    Args:
        degrees: largest turn to either side.
        scale: largest change of size, as a share.
        shift: largest move, as a share of the side.
    """

    def apply(pictures: Tensor, generator: torch.Generator) -> Tensor:
        draw = (2 * torch.rand(4, len(pictures), generator=generator) - 1).to(pictures.device)
        angle, factor = draw[0] * math.radians(degrees), 1 + scale * draw[1]
        cosine, sine = angle.cos() * factor, angle.sin() * factor
        rows = [cosine, -sine, 2 * shift * draw[2], sine, cosine, 2 * shift * draw[3]]
        matrix = torch.stack(rows, dim=1).view(-1, 2, 3)
        grid = affine_grid(matrix, list(pictures.shape), align_corners=False)
        moved: Tensor = grid_sample(
            pictures.float(), grid, padding_mode="border", align_corners=False
        )
        moved = moved.round().clamp(0, 255)
        return moved.to(pictures.dtype)

    return apply


def random_light(strength: float) -> Operation:
    """An operation that changes every picture's contrast and brightness by up to a share."""

    def apply(pictures: Tensor, generator: torch.Generator) -> Tensor:
        draw = (2 * torch.rand(2, len(pictures), 1, 1, 1, generator=generator) - 1) * strength
        contrast, brightness = draw.to(pictures.device)
        values = pictures.float()
        mean = values.mean((1, 2, 3), keepdim=True)
        lit: Tensor = (values - mean) * (1 + contrast) + mean * (1 + brightness)
        return lit.round().clamp(0, 255).to(pictures.dtype)

    return apply


def augmentation_of(spec: ImageTrainingSpec, own: Operation | None) -> Operation | None:
    """The pipeline that a job brings, else the kind's own augmentation.

    Raises:
        PermanentError: the pipeline cannot be used.
    """
    if spec.augment is None:
        return own
    try:
        pipeline = make_pipeline(spec.augment.local_path, spec.picture)
    except (InvalidInputError, SetupError) as error:
        raise PermanentError(str(error)) from None

    def apply(pictures: Tensor, generator: torch.Generator) -> Tensor:
        # Seeded for every batch, so that a resumed job draws what it would have drawn.
        pipeline.set_random_seed(int(torch.randint(2**31, (1,), generator=generator)))
        grey = pictures.shape[1] == 1
        arrays = pictures[:, 0] if grey else pictures.permute(0, 2, 3, 1)
        changed = [pipeline(image=array)["image"] for array in arrays.cpu().contiguous().numpy()]
        together = torch.from_numpy(np.stack(changed)).to(pictures.device)
        return together[:, None] if grey else together.permute(0, 3, 1, 2)

    return apply


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
