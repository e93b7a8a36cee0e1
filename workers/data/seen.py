"""What a network saw of pictures when it learnt, and pictures brought into that shape at use.

A network that learnt from black on white knows nothing of white on black. How pictures were
decoded is therefore a fact of the model, kept in its file's header; use applies it and guesses
nothing:

    channels     1 for grey, 3 for RGB
    size         side of the square in pixels
    background   the paper under what is transparent: white or black
    polarity     light on dark, dark on light, or mixed, by the pictures' borders
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cvq.context import Context
from cvq.inputs.files import ImageFile
from cvq.pictures.decoding import Paper, decode_picture
from cvq.text import join

from ..models.pictures import named

log = logging.getLogger("cvq.job")

Bytes = NDArray[np.uint8]

_SAMPLED = 10_000
_MOST = 0.95  # of the pictures: so many have one polarity where all are said to have it
_MIDDLE = 127
_LEARNT_28 = 28  # what models knew that were made before this was a fact


def seen_of(images: Tensor, background: Paper) -> dict[str, Any]:
    """The facts of training pictures (N, C, H, W), 0..255."""
    light = float((_borders(images[:_SAMPLED]) > _MIDDLE).float().mean())
    polarity = "mixed"
    if light >= _MOST:
        polarity = "dark on light"
    elif light <= 1 - _MOST:
        polarity = "light on dark"
    return {
        "channels": images.shape[1],
        "size": images.shape[-1],
        "background": background,
        "polarity": polarity,
    }


def as_trained(
    files: Sequence[ImageFile], facts: Mapping[str, Any], ctx: Context, *, invert: bool | None
) -> Tensor:
    """Pictures as a model's training saw them, (N, C, size, size), 0..255.

    Args:
        files: on this machine.
        facts: the model's; its `seen` says how.
        ctx: told how many are done.
        invert: whether to invert all; None: not. Where the model does not say what it saw, None
            is that a picture with a light border is inverted.

    Raises:
        PermanentError: a picture cannot be used.
    """
    seen: Mapping[str, Any] | None = facts.get("seen")
    channels: Literal[1, 3] = seen["channels"] if seen else 1
    size: int = seen["size"] if seen else facts.get("size", _LEARNT_28)
    paper: Paper = seen["background"] if seen else "white"
    found = []
    for number, file in enumerate(files, 1):
        with named(file.local_path, file.name) as note:
            picture = decode_picture(file.local_path, channels, size, paper=paper, note=note)
        found.append(torch.from_numpy(picture.reshape(size, size, channels).copy()))
        ctx.progress(number, len(files), "picture")
    pictures = torch.stack(found).permute(0, 3, 1, 2).contiguous()
    if seen is None and invert is None:
        light = (_borders(pictures) > _MIDDLE)[:, None, None, None]
        return torch.where(light, 255 - pictures, pictures)
    if invert:
        pictures = 255 - pictures
    if seen:
        _compare(files, pictures, seen["polarity"])
    return pictures


def _compare(files: Sequence[ImageFile], pictures: Tensor, polarity: str) -> None:
    """Say where pictures look like the negatives of what the network knows."""
    if polarity == "mixed":
        return
    other = (_borders(pictures) > _MIDDLE) == (polarity == "light on dark")
    names = [file.name for file, strange in zip(files, other.tolist(), strict=True) if strange]
    if names:
        shown = "light on dark" if polarity == "dark on light" else "dark on light"
        log.warning(
            "%s: %s, while the model has learnt from %s; `--invert` or `--no-invert` turns them",
            join(names), shown, polarity,
        )  # fmt: skip


def _borders(images: Tensor) -> Tensor:
    """The mean of each picture's outermost pixels, (N,)."""
    grey = images.float().mean(1)
    edges = [grey[:, 0], grey[:, -1], grey[:, :, 0], grey[:, :, -1]]
    return torch.cat(edges, dim=1).mean(1)
