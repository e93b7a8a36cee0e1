"""Pictures and small data sets to try every kind with.

The photograph and the digits are those that scikit-learn carries; the painting is drawn by
`painting`, garments, faces and landscapes by `sketches`. Nothing is downloaded. The extra `worker`
is needed, and imported only when the samples are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from PIL import Image

PHOTOGRAPH = "china.jpg"
ATTRIBUTION = (
    "Photograph by danielbuechele, https://www.flickr.com/photos/danielbuechele/6061409035/, "
    "CC BY 2.0, https://creativecommons.org/licenses/by/2.0/ (from scikit-learn: china.jpg)"
)
"""What the photograph's licence asks to be shown with it and with every picture made from it."""

PICTURES = {"content": "content.jpg", "style": "style.jpg", "grey": "grey.jpg", "shoe": "shoe.png"}
DATA = ("colors", "digits", "faces", "garments")

SEED = 1
QUALITY = 92
DIGITS_EACH = 40
GARMENTS_EACH = 24
PERSONS, LOOKS = 40, 3
LANDSCAPES = 160

# Exif tags by number: Pillow's own names for them need an import.
_DESCRIPTION, _ARTIST, _COPYRIGHT = 0x010E, 0x013B, 0x8298


def write_samples(directory: Path, *, size: int = 640, overwrite: bool = False) -> dict[str, Path]:
    """Write the `PICTURES` and the folders of `DATA` into `directory`, which is made if need be.

    `size` is the longer side of the large pictures in pixels; the photograph is never enlarged
    beyond its own 640. Returns the paths by their names without endings.

    Raises UsageError, before anything is written, if one of them is there already (unless
    `overwrite`), or if the directory cannot be written; MissingExtraError without scikit-learn.
    """
    if size > 8192:
        raise UsageError(f"samples of {size} pixels are too large: ask for 8192 or fewer")
    if size < 16:
        raise UsageError(f"samples of {size} pixels are too small: ask for 16 or more")
    paths = {name: directory / file for name, file in PICTURES.items()}
    paths |= {name: directory / name for name in DATA}
    for path in paths.values():
        if path.exists() and not overwrite:
            raise UsageError(f"{path} already exists: name another directory, or add --force")
    try:
        made = list(_pictures(size))
    except ModuleNotFoundError as error:
        raise MissingExtraError("worker", "`cvq samples`") from error
    try:
        for name, picture in made:
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            # Full colour resolution: halved, as is JPEG's habit, it would blur the brush strokes.
            options: dict[str, Any] = {}
            if path.suffix == ".jpg":
                options = {"quality": QUALITY, "subsampling": 0}
            picture.save(path, exif=picture.getexif(), **options)
    except OSError as error:
        raise UsageError(
            f"cannot write samples to {directory}: {error.strerror or error}"
        ) from error
    return paths


def _pictures(size: int) -> Iterator[tuple[str, Image.Image]]:
    """All of them, each with its place under the directory."""
    from .sketches import garment

    photograph, painting = _photograph(size), _painting(size)
    grey = photograph.convert("L")
    grey.getexif().update(photograph.getexif())
    yield "content.jpg", photograph
    yield "style.jpg", painting
    yield "grey.jpg", grey
    yield "shoe.png", garment("boot", 0, 280)
    yield from _digits()
    yield from _sketches()


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
    from .painting import paint

    picture = paint(size, size * 4 // 5, seed=SEED)
    picture.getexif()[_DESCRIPTION] = f"Evening lake, painted by cvq.painting with seed {SEED}"
    return picture


def _digits() -> Iterator[tuple[str, Image.Image]]:
    """Handwritten digits of scikit-learn, 8 x 8 pixels made 28 x 28, light on black."""
    from PIL import Image
    from sklearn.datasets import load_digits

    counts = dict.fromkeys(range(10), 0)
    found = load_digits()
    for pixels, target in zip(found.images, found.target, strict=True):
        digit = int(target)
        if counts[digit] == DIGITS_EACH:
            continue
        counts[digit] += 1
        small = Image.fromarray((pixels * (255 / 16)).astype("uint8"))
        large = small.resize((28, 28), Image.Resampling.BICUBIC)
        yield f"digits/{digit}/{counts[digit]:02}.png", large


def _sketches() -> Iterator[tuple[str, Image.Image]]:
    from .sketches import (
        GARMENTS,
        face,
        garment,
        landscape,
    )

    for number in range(1, LANDSCAPES + 1):
        yield f"colors/{number:03}.png", landscape(number)
    for name in GARMENTS:
        for number in range(1, GARMENTS_EACH + 1):
            yield f"garments/{name}/{number:02}.png", garment(name, number)
    for person in range(1, PERSONS + 1):
        for look in range(1, LOOKS + 1):
            yield f"faces/person-{person:02}/{look}.png", face(person, look)
