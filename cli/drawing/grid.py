"""Several pictures side by side, each with its title below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from ..widths import cells, name
from .blocks import Depth, drawn, fitted

if TYPE_CHECKING:
    from PIL import Image

_GAP = 2
_LEAST = 22  # cells of a tile
_RATIO = 0.6  # of a tile's height to its width, in cells: a picture may be higher than wide


class Titled(NamedTuple):
    """A picture, and what is said of it."""

    title: str
    image: Image.Image


def room(number: int, columns: int, rows: int) -> tuple[int, int, int]:
    """How many pictures stand side by side, and the cells that each has, across and down."""
    side = max(1, min(number, (columns + _GAP) // (_LEAST + _GAP)))
    width = max(1, (columns - _GAP * (side - 1)) // side)
    return side, width, max(1, rows if number == 1 else min(rows, round(width * _RATIO)))


def lines(pictures: Sequence[Titled], columns: int, rows: int, depth: Depth) -> Iterator[str]:
    """The lines of a grid: of each row the pictures, then their titles."""
    side, width, height = room(len(pictures), columns, rows)
    for start in range(0, len(pictures), side):
        some = pictures[start : start + side]
        tiles = [_tile(picture, width, height, depth) for picture in some]
        for parts in zip_longest(*tiles, fillvalue=" " * width):
            yield (" " * _GAP).join(parts).rstrip(" ")
        titles = [_padded(name(picture.title, width), width) for picture in some]
        yield (" " * _GAP).join(titles).rstrip(" ")


def _tile(picture: Titled, width: int, height: int, depth: Depth) -> list[str]:
    taken = fitted(picture.image.size, width, height)[0]
    rest = " " * (width - taken)
    return [line + rest for line in drawn(picture.image, width, height, depth)]


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cells(text))
