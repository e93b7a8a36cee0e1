"""How large the pictures of a data set are, without decoding them."""

from __future__ import annotations

import statistics
import zipfile
from pathlib import Path

from PIL import Image

from cvq.endings import is_picture

_ASKED = 50


def typical_side(archive: Path | None) -> int | None:
    """The median of the shorter sides of some pictures in a zip; None where it has none."""
    if archive is None:
        return None
    sides = []
    try:
        with zipfile.ZipFile(archive) as opened:
            names = [name for name in opened.namelist() if is_picture(name)]
            for name in names[:: max(1, len(names) // _ASKED)]:
                side = _side(opened, name)
                sides += [] if side is None else [side]
    except (OSError, ValueError, zipfile.BadZipFile):  # who reads the pictures says what is wrong
        return None
    return int(statistics.median(sides)) if sides else None


def _side(opened: zipfile.ZipFile, name: str) -> int | None:
    try:
        with opened.open(name) as file, Image.open(file) as picture:
            return min(picture.size)
    except Exception:  # Pillow raises nearly anything on a damaged picture
        return None
