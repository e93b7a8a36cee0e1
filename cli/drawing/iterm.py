"""iTerm2's protocol for pictures: the file itself, in an escape sequence."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.segment import ControlType, Segment

if TYPE_CHECKING:
    from PIL import Image


class Picture:
    """What rich prints as a picture, in so many cells across."""

    def __init__(self, image: Image.Image, width: int) -> None:
        self._image, self._width = image, width

    def __rich_console__(self, _console: object, _options: object) -> Iterator[Segment]:
        file = io.BytesIO()
        self._image.save(file, "png")
        told = f"inline=1;size={file.tell()};width={self._width};preserveAspectRatio=1"
        data = b64encode(file.getvalue()).decode("ascii")
        # As a control code it has no width, and is neither broken nor cut.
        yield Segment(f"\x1b]1337;File={told}:{data}\a", None, [(ControlType.BELL,)])
        yield Segment.line()
