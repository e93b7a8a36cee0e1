"""A picture as an `<img>` that has its own data."""

from __future__ import annotations

import io
from base64 import b64encode
from pathlib import Path


def thumbnail(path: Path, side: int, max_pixels: int) -> str:
    """A picture of at most `max_pixels` in at most `side` pixels both ways.

    Raises:
        PictureError: it is no picture, damaged, or too large.
        OSError: the file cannot be read.
    """
    from ..pictures.shown import shown

    image = shown(path, (side, side), max_pixels=max_pixels)
    image.thumbnail((side, side))
    file, kind = io.BytesIO(), "png" if image.mode == "RGBA" or max(image.size) <= 64 else "jpeg"
    image.save(file, kind)
    data = b64encode(file.getvalue()).decode("ascii")
    size = f'width="{image.width}" height="{image.height}"'
    return f'<img {size} src="data:image/{kind};base64,{data}"/>'
