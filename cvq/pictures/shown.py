"""A picture as people look at it: upright, 8 bits, also transparent. Needs Pillow alone."""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image

from .images import load, turned

_FULL = {"F": 1.0}  # what is white in a picture of floats; integers go to 65535


def shown(
    source: Path | bytes, most: tuple[int, int] | None = None, *, max_pixels: int | None = None
) -> Image.Image:
    """The first frame of a picture, in mode RGB, or RGBA where something is transparent.

    Args:
        source: a file, or its content.
        most: a width and height that are enough, in pixels: a large JPEG is read faster.
        max_pixels: more are refused; default: the limit of this process.

    Raises:
        PictureError: it is no picture, damaged, or too large.
        OSError: the file cannot be read.
    """
    found = load(source, max_pixels, draft=("RGB", (2 * most[0], 2 * most[1])) if most else None)
    image = found.image
    if image.mode.startswith("I") or image.mode == "F":
        image = _eight_bits(image)
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return turned(image.convert(mode), found.orientation)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits; what goes beyond white or black is stretched over its values."""
    full = _FULL.get(image.mode, 65535.0)
    floats = image.convert("F" if image.mode == "F" else "I").convert("F")
    found = [float(value) for value in floats.getextrema() if isinstance(value, int | float)]
    ends = [value for value in found if math.isfinite(value)]
    low, high = min([0.0, *ends]), max([full, *ends])
    scale = 255 / (high - low)
    return floats.point(lambda value: value * scale + (-low * scale)).convert("L")
