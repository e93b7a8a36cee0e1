"""Checks that a picture is one, whole and of a bearable size, before a job is queued on it."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from .errors import InvalidInputError

# Raster formats that Pillow decodes by itself; no PostScript and the like, which run programs.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")


def check_image(path: Path, max_pixels: int) -> None:
    """Decode a picture once and throw the result away.

    Raises:
        InvalidInputError: it is missing, not a file, empty, not a picture, truncated, or has more
            than `max_pixels` pixels.
    """
    try:
        if path.is_dir():
            raise InvalidInputError(f"{path} is a folder; a picture is needed")
        if not path.exists():
            raise InvalidInputError(f"{path} does not exist")
        if not path.is_file():
            raise InvalidInputError(f"{path} is not a regular file")
        if path.stat().st_size == 0:
            raise InvalidInputError(f"{path} is empty (0 bytes)")
        _decode(path, max_pixels)
    except PermissionError:
        raise InvalidInputError(f"{path} cannot be read: permission denied") from None
    except OSError as error:  # a name that is too long, a disk that fails
        raise InvalidInputError(f"{path} cannot be read: {error.strerror or error}") from None


def _decode(path: Path, max_pixels: int) -> None:
    limit = f"the limit is {max_pixels / 1e6:g} megapixels (CVQ_MAX_PIXELS)"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a picture that decodes is good, whatever its tags
            with Image.open(path, formats=FORMATS) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise InvalidInputError(f"{path} has {width} x {height} pixels; {limit}")
                image.draft("RGB", (64, 64))  # a JPEG is read whole, but only an 8th is built
                image.load()
    except Image.DecompressionBombError:
        raise InvalidInputError(f"{path} is a decompression bomb; {limit}") from None
    except UnidentifiedImageError:
        raise InvalidInputError(
            f"{path} is not a picture that cvq reads ({', '.join(FORMATS)})"
        ) from None
    except (InvalidInputError, PermissionError):
        raise
    except Exception as error:  # Pillow's decoders raise what they stumble over
        raise InvalidInputError(f"{path} is damaged: {error}") from None
