"""A picture as lines of text: two pixels in a cell, in colours, or a sign for each cell.

A cell is twice as high as it is wide, so that half of one is a square pixel.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from itertools import pairwise

from PIL import Image, ImageOps

from ..colours import RESET, mark

_UPPER, _LOWER = "▀", "▄"
_NONE = mark(RESET)
_RAMP = " .:-=+*#%@"  # from dark to light, on a dark ground
_OPAQUE = 128
_CUBE = (0, 95, 135, 175, 215, 255)
_FIRST = 16  # of the 256 colours that are the same everywhere; those before are the user's


class Depth(StrEnum):
    """The colours that a terminal has."""

    TRUE = "true"
    MANY = "256"
    SIGNS = "signs"


def fitted(size: tuple[int, int], columns: int, rows: int) -> tuple[int, int]:
    """The width and height in half cells of a picture in so many cells, as wide as it is high.

    Small ones are not enlarged.
    """
    width, height = size
    scale = min(1.0, columns / width, 2 * rows / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def drawn(image: Image.Image, columns: int, rows: int, depth: Depth) -> list[str]:
    """A picture in mode RGB or RGBA as lines, each of the same number of cells."""
    width, height = fitted(image.size, columns, rows)
    if depth is Depth.SIGNS:
        return _signs(_resized(image, width, max(1, round(height / 2))))
    return list(_half_blocks(_resized(image, width, height), depth))


def _resized(image: Image.Image, width: int, height: int) -> Image.Image:
    if image.size == (width, height):
        return image
    premultiplied = image.convert("RGBa") if image.mode == "RGBA" else image
    small = premultiplied.resize((width, height), Image.Resampling.LANCZOS)
    return small.convert("RGBA") if image.mode == "RGBA" else small


def _half_blocks(image: Image.Image, depth: Depth) -> Iterator[str]:
    rows = _codes(image, depth)
    if len(rows) % 2:
        rows.append([None] * image.width)
    for above, below in list(pairwise(rows))[::2]:
        yield _line(above, below)


def _line(above: list[str | None], below: list[str | None]) -> str:
    """Cells of two pixels each; None is transparent: the terminal's own ground."""
    parts, before = [], ""
    for upper, lower in zip(above, below, strict=True):
        if upper is None and lower is None:
            style, sign = _NONE, " "
        elif lower is None:
            style, sign = _NONE + mark(f"38;{upper}"), _UPPER
        elif upper is None:
            style, sign = _NONE + mark(f"38;{lower}"), _LOWER
        else:
            style, sign = mark(f"38;{upper};48;{lower}"), _UPPER
        parts += [style if style != before else "", sign]
        before = style
    return "".join(parts) + _NONE


def _codes(image: Image.Image, depth: Depth) -> list[list[str | None]]:
    """The colour of each pixel, row by row."""
    width, pixels = image.width, image.convert("RGB")
    if depth is Depth.TRUE:
        data = pixels.tobytes()
        codes = [f"2;{data[i]};{data[i + 1]};{data[i + 2]}" for i in range(0, len(data), 3)]
    else:
        indexed = pixels.quantize(palette=_palette(), dither=Image.Dither.NONE)
        codes = [f"5;{_FIRST + index}" for index in indexed.tobytes()]
    seen: list[str | None] = list(codes)
    if image.mode == "RGBA":
        alpha = image.getchannel("A").tobytes()
        seen = [code if a >= _OPAQUE else None for code, a in zip(codes, alpha, strict=True)]
    return [seen[start : start + width] for start in range(0, len(seen), width)]


@cache
def _palette() -> Image.Image:
    """The cube of 216 colours and the 24 greys of a terminal of 256."""
    cube = [value for r in _CUBE for g in _CUBE for b in _CUBE for value in (r, g, b)]
    greys = [level for step in range(24) for level in (8 + 10 * step,) * 3]
    palette = Image.new("P", (1, 1))
    palette.putpalette(cube + greys + [0] * (768 - len(cube) - len(greys)))
    return palette


def _signs(image: Image.Image) -> list[str]:
    """A sign for each pixel, by its light; what is transparent is the ground."""
    ramp = _RAMP[::-1] if is_light_ground() else _RAMP
    ground = Image.new("RGB", image.size, "white" if is_light_ground() else "black")
    ground.paste(image, mask=image.getchannel("A") if image.mode == "RGBA" else None)
    levels = ImageOps.autocontrast(ground.convert("L"), cutoff=1).tobytes()
    signs = "".join(ramp[level * len(ramp) // 256] for level in levels)
    return [signs[start : start + image.width] for start in range(0, len(signs), image.width)]


def is_light_ground() -> bool:
    """Whether the terminal writes dark on light, where it says so."""
    return os.environ.get("COLORFGBG", "").rpartition(";")[2] in ("7", "15")
