"""The two pictures to try style transfer with: a photograph and a painting.

The photograph is one that scikit-learn carries; the painting is drawn by `cvq.painting`. Nothing
is downloaded. Both need the extra `worker`, imported only when the pictures are made.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from cvq.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from PIL import Image

PHOTOGRAPH = "china.jpg"
ATTRIBUTION = (
    "Photograph by danielbuechele, https://www.flickr.com/photos/danielbuechele/6061409035/, "
    "CC BY 2.0, https://creativecommons.org/licenses/by/2.0/ (from scikit-learn: china.jpg)"
)
"""What the photograph's licence asks to be shown with it and with every picture made from it."""

SEED = 1
QUALITY = 92

# Exif tags by number: Pillow's own names for them need an import.
_DESCRIPTION, _ARTIST, _COPYRIGHT = 0x010E, 0x013B, 0x8298


def write_samples(directory: Path, *, size: int = 640, overwrite: bool = False) -> dict[str, Path]:
    """Write `content.jpg` and `style.jpg` into `directory`, which is made if need be.

    `size` is the longer side in pixels; the photograph is never enlarged beyond its own 640.
    Returns the two paths by the names of style transfer's inputs, `content` and `style`.

    Raises UsageError, before anything is written, if one of the files is there already (unless
    `overwrite`), or if the directory cannot be written; MissingExtraError without scikit-learn.
    """
    if size < 16:
        raise UsageError(f"samples of {size} pixels are too small: ask for 16 or more")
    paths = {name: directory / f"{name}.jpg" for name in ("content", "style")}
    for path in paths.values():
        if path.exists() and not overwrite:
            raise UsageError(f"{path} exists already: name another directory, or add --force")
    try:
        pictures = {"content": _photograph(size), "style": _painting(size)}
    except ModuleNotFoundError as error:
        raise MissingExtraError("worker", "`cvq samples`") from error
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, path in paths.items():
            # Full colour resolution: halved, as is JPEG's habit, it would blur the brush strokes.
            exif = pictures[name].getexif()
            pictures[name].save(path, quality=QUALITY, subsampling=0, exif=exif)
    except OSError as error:
        raise UsageError(
            f"cannot write samples to {directory}: {error.strerror or error}"
        ) from error
    return paths


def _photograph(size: int) -> Image.Image:
    """A pavilion above a lake, 640 x 427 or smaller, with its attribution in the Exif data."""
    from PIL import Image

    with (files("sklearn.datasets.images") / PHOTOGRAPH).open("rb") as file:
        picture = Image.open(file).convert("RGB")
    picture.thumbnail((size, size))
    exif = picture.getexif()
    exif[_ARTIST] = "danielbuechele"
    exif[_COPYRIGHT] = ATTRIBUTION
    return picture


def _painting(size: int) -> Image.Image:
    """The evening lake, five wide to four high."""
    from cvq.painting import paint

    picture = paint(size, size * 4 // 5, seed=SEED)
    picture.getexif()[_DESCRIPTION] = f"Evening lake, painted by cvq.painting with seed {SEED}"
    return picture
