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
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cvq.context import Context
from cvq.pictures.decoding import Paper, decode_picture
from cvq.text import join

from ..models.pictures import named

log = logging.getLogger("cvq.job")

Bytes = NDArray[np.uint8]

_SAMPLED = 10_000
_MOST = 0.95  # of the pictures: so many have one polarity where all are said to have it
_MIDDLE = 127
DARK_ON_LIGHT, LIGHT_ON_DARK = _POLARITIES = ("dark on light", "light on dark")
_LEARNT_28 = 28  # what models knew that were made before this was a fact


def seen_of(images: Tensor, background: Paper) -> dict[str, Any]:
    """The facts of training pictures (N, C, H, W), 0..255."""
    light = float((_borders(images[:_SAMPLED]) > _MIDDLE).float().mean())
    polarity = "mixed"
    if light >= _MOST:
        polarity = DARK_ON_LIGHT
    elif light <= 1 - _MOST:
        polarity = LIGHT_ON_DARK
    return {
        "channels": images.shape[1],
        "size": images.shape[-1],
        "background": background,
        "polarity": polarity,
    }


class Picture(Protocol):
    """A file with a picture, or a member of a shard."""

    @property
    def name(self) -> str:
        """What it is called."""

    def read(self) -> bytes:
        """Its content."""


@dataclass(frozen=True)
class Seen:
    """A picture as a model's training would have seen it.

    Attributes:
        pixels: (C, size, size), 0..255.
        notes: what was not taken as it stands, in half a sentence each.
        is_negative: whether it looks like the negative of what the model has learnt from.
    """

    pixels: Tensor
    notes: tuple[str, ...] = ()
    is_negative: bool = False

    @property
    def shape(self) -> torch.Size:
        """Of its pixels."""
        return self.pixels.shape


@dataclass(frozen=True)
class Sight:
    """How a model sees pictures.

    Attributes:
        channels, size, paper: as they were decoded for its training.
        polarity: of its training's pictures; None where the model does not say.
        invert: whether to invert pictures; None: not, or where the model does not say what it
            saw, those with a light border.
    """

    channels: Literal[1, 3]
    size: int
    paper: Paper
    polarity: str | None
    invert: bool | None

    @classmethod
    def of(cls, facts: Mapping[str, Any], invert: bool | None) -> Self:
        """That of a model with these facts."""
        seen: Mapping[str, Any] | None = facts.get("seen")
        if seen is None:
            return cls(1, facts.get("size", _LEARNT_28), "white", None, invert)
        return cls(seen["channels"], seen["size"], seen["background"], seen["polarity"], invert)

    def see(self, picture: Picture) -> Seen:
        """Decode a picture.

        Raises:
            PermanentError: it cannot be used.
        """
        notes: list[str] = []
        with named(picture.name):
            array = decode_picture(
                picture.read(), self.channels, self.size, paper=self.paper, note=notes.append
            )
        pixels = array.reshape(self.size, self.size, self.channels).transpose(2, 0, 1)
        light = _border(pixels) > _MIDDLE
        if self.invert or (self.polarity is None and self.invert is None and light):
            pixels, light = 255 - pixels, not light
        is_negative = self.polarity in _POLARITIES and light != (self.polarity == DARK_ON_LIGHT)
        return Seen(torch.from_numpy(pixels.copy(order="C")), tuple(notes), is_negative)

    @property
    def negative(self) -> str:
        """What is said behind the name of a picture that looks like a negative."""
        shown = LIGHT_ON_DARK if self.polarity == DARK_ON_LIGHT else DARK_ON_LIGHT
        return (
            f"{shown}, while the model has learnt from {self.polarity}; `--invert` or "
            "`--no-invert` turns them"
        )

    def notes_on(self, picture: Seen) -> tuple[str, ...]:
        """All that is to be said of a picture."""
        return (*picture.notes, self.negative) if picture.is_negative else picture.notes


def as_trained(
    files: Sequence[Picture], facts: Mapping[str, Any], ctx: Context, *, invert: bool | None
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
    sight = Sight.of(facts, invert)
    found = []
    for number, file in enumerate(files, 1):
        picture = sight.see(file)
        for note in picture.notes:
            log.warning("%s %s", file.name, note)
        found.append(picture)
        ctx.progress(number, len(files), "picture")
    strange = [file.name for file, each in zip(files, found, strict=True) if each.is_negative]
    if strange:
        log.warning("%s: %s", join(strange), sight.negative)
    return torch.stack([each.pixels for each in found])


def _borders(images: Tensor) -> Tensor:
    """The mean of each picture's outermost pixels, (N,)."""
    grey = images.float().mean(1)
    edges = [grey[:, 0], grey[:, -1], grey[:, :, 0], grey[:, :, -1]]
    return torch.cat(edges, dim=1).mean(1)


def _border(pixels: Bytes) -> float:
    """The same of one picture (C, size, size)."""
    edges = pixels.reshape(len(pixels), -1)[:, _edges(pixels.shape[-1])]
    return int(edges.sum()) / edges.size


@cache
def _edges(size: int) -> NDArray[np.intp]:
    """Where the outermost pixels of a square lie, row by row; its corners are there twice."""
    places = np.arange(size * size).reshape(size, size)
    return np.concatenate([places[0], places[-1], places[:, 0], places[:, -1]])
