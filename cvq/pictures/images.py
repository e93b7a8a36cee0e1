"""Opens pictures: which formats, how many pixels, and what is no damage. Needs Pillow alone.

Text, colour profiles and EXIF blocks that are large or broken cost nothing: the pixels are decoded
without them. The number of pixels is held against cvq's own limit, and never against Pillow's.
"""

from __future__ import annotations

import importlib
import io
import math
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from ..errors import InvalidInputError
from ..text import one_line

# Raster formats that Pillow decodes by itself; no PostScript and the like, which run programs.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF")

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
# Chunks of a PNG that change its pixels; all others can go where one of them is broken.
_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf")
# Segments of a JPEG that do not: profiles and further pictures, Photoshop's own, comments.
_WORD_SEGMENTS = (0xE2, 0xED, 0xFE)
_MOST_PROFILE = 16 << 20  # bytes
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

_ORIENTATION = 0x0112
_FRAMED = ("GIF", "TIFF", "WEBP", "PNG")  # in a JPEG a second picture is a mere preview

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip

_most_pixels = 100_000_000
_opening = threading.Lock()
_quieting = threading.Lock()
_decoding = 0  # threads
_filters: warnings.catch_warnings[None]


class PictureError(ValueError):
    """What is wrong with a picture; it reads on behind the picture's name."""


class Loaded(NamedTuple):
    """The first frame of a picture as it lies in the file.

    Attributes:
        image: its pixels.
        orientation: 1 to 8, as EXIF counts them; 1 where nothing is to be turned.
        frames: how many frames or pages the file has.
    """

    image: Image.Image
    orientation: int
    frames: int


def limit_pixels(most: int) -> None:
    """Set how many pixels a picture may have in this process, for code that uses Pillow, too."""
    global _most_pixels
    _most_pixels = most
    Image.MAX_IMAGE_PIXELS = most


def check_image(path: Path, max_pixels: int, called: str | None = None) -> None:
    """Decode a picture once and throw the result away; `called` names it in errors.

    Raises:
        InvalidInputError: it is missing, not a file, empty, not a picture, truncated, or has more
            than `max_pixels` pixels.
    """
    what = called or path
    try:
        if path.is_dir():
            raise InvalidInputError(f"{what} is a folder; a picture is needed")
        if not path.exists():
            raise InvalidInputError(f"{what} does not exist")
        if not path.is_file():
            raise InvalidInputError(f"{what} is not a regular file")
        if path.stat().st_size == 0:
            raise InvalidInputError(f"{what} is empty (0 bytes)")
        # A JPEG is read whole, but only an 8th of it is built.
        image = load(path, max_pixels, draft=("RGB", (64, 64))).image
        if image.mode == "F" and not any(
            map(math.isfinite, memoryview(image.tobytes()).cast("f"))
        ):
            raise PictureError("has no pixel with a finite value")
    except PictureError as error:
        raise InvalidInputError(f"{what} {error}") from None
    except PermissionError:
        raise InvalidInputError(f"{what} cannot be read: permission denied") from None
    except OSError as error:  # a name that is too long, a disk that fails
        raise InvalidInputError(f"{what} cannot be read: {error.strerror or error}") from None


def load(
    source: Path | str | bytes,
    max_pixels: int | None = None,
    draft: tuple[str, tuple[int, int]] | None = None,
) -> Loaded:
    """Decode the first frame of a picture.

    Args:
        source: a file, or its content.
        max_pixels: more are refused; default: the limit of this process.
        draft: mode and least size with which a JPEG may be decoded, to save time.

    Raises:
        PictureError: it is no picture, damaged, or too large.
        OSError: the file cannot be read.
        MemoryError: there is no memory for it.
    """
    source = source if isinstance(source, bytes) else Path(source)
    try:
        return _decoded(source, max_pixels or _most_pixels, draft)
    except PictureError:
        raise
    except Exception as error:  # Pillow's decoders raise what they stumble over
        if is_the_machines(error):
            raise
        content = source if isinstance(source, bytes) else source.read_bytes()
        bare, profile = _bare(content)
        if bare == content:
            raise _told(error) from None
    try:
        loaded = _decoded(bare, max_pixels or _most_pixels, draft)
    except PictureError:
        raise
    except Exception as error:
        raise error if is_the_machines(error) else _told(error) from None
    if profile:
        loaded.image.info["icc_profile"] = profile
    return loaded


def is_the_machines(error: Exception) -> bool:
    """Whether a file could not be read or decoded for want of memory or by a disk's fault.

    Pillow says `OSError`, too, of what is wrong in a file; only the system gives a number to it.
    """
    return isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno is not None
    )


def orientation_of(image: Image.Image) -> int:
    """How a picture is to be turned, 1 to 8; 1 where its EXIF block is broken."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # it says nothing that could be read
        return 1
    return found if found in range(1, 9) else 1


def measured(path: Path) -> tuple[int, int]:
    """The width and height of a picture, upright, by its head alone.

    Raises:
        PictureError: it is no picture.
        OSError: the file cannot be read.
    """
    try:
        with _without_warnings(), _opened(path) as image:
            width, height = image.size
            return (height, width) if orientation_of(image) >= 5 else (width, height)
    except PictureError:
        raise
    except Exception as error:
        raise error if is_the_machines(error) else _told(error) from None


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """A picture upright, as its EXIF block says."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def _decoded(source: Path | bytes, most: int, draft: tuple[str, tuple[int, int]] | None) -> Loaded:
    with _without_warnings(), _opened(source) as image:
        width, height = image.size
        if width * height > most:
            raise PictureError(
                f"has {width} x {height} pixels; the limit is {most / 1e6:g} megapixels "
                "(CVQ_MAX_PIXELS)"
            )
        frames = 1
        if image.format in _FRAMED:
            with suppress(Exception):  # what is wrong with later ones is no matter
                frames = getattr(image, "n_frames", 1)
        if draft:
            image.draft(*draft)
        image.load()
        return Loaded(image, orientation_of(image), frames)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """A picture that decodes is good, whatever its tags.

    Filters of warnings belong to the whole process, and several threads may decode: the first puts
    them aside, and the last one puts them back.
    """
    global _decoding, _filters
    with _quieting:
        if not _decoding:
            _filters = warnings.catch_warnings()
            _filters.__enter__()
            warnings.simplefilter("ignore")
        _decoding += 1
    try:
        yield
    finally:
        with _quieting:
            _decoding -= 1
            if not _decoding:
                _filters.__exit__(None, None, None)


@contextmanager
def _opened(source: Path | bytes) -> Iterator[Image.Image]:
    file = source if isinstance(source, Path) else io.BytesIO(source)
    heif = _heif(source)
    # Pillow's own limit is a variable of the whole process. It is put out of force while a header
    # is read, and by nobody else at that time.
    with _opening:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(file, formats=("HEIF",) if heif else FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = before
    with image:
        yield image


def _told(error: Exception) -> PictureError:
    if isinstance(error, UnidentifiedImageError):
        return PictureError(f"is not a picture that cvq reads ({', '.join(FORMATS)})")
    return PictureError(f"is damaged: {one_line(str(error)) or type(error).__name__}")


# --- HEIC, the pictures of telephones: an extra, as its decoder is under the LGPL ----------------


def _heif(source: Path | bytes) -> bool:
    """Whether a picture is HEIC; its decoder is then ready."""
    if isinstance(source, bytes):
        head = source[:12]
    else:
        with source.open("rb") as file:
            head = file.read(12)
    if head[4:8] != b"ftyp" or head[8:12] not in _HEIF_BRANDS:
        return False
    decoder = _heif_decoder()
    if decoder is None:
        raise PictureError("is a HEIC picture, which needs one more package: pip install pi-heif")
    decoder.register_heif_opener()
    return True


def _heif_decoder() -> ModuleType | None:
    try:
        return importlib.import_module("pi_heif")
    except ModuleNotFoundError:
        return None


# --- Without what is not pixels -----------------------------------------------------------------


def _bare(content: bytes) -> tuple[bytes, bytes | None]:
    """A PNG or JPEG without text, profile and the like; and the profile of a PNG."""
    try:
        if content.startswith(_PNG):
            return _bare_png(content)
        if content.startswith(_JPEG):
            return _bare_jpeg(content), None
    except (struct.error, IndexError):  # cut off within a head
        pass
    return content, None


def _bare_png(content: bytes) -> tuple[bytes, bytes | None]:
    kept, profile, place = [_PNG], None, len(_PNG)
    while place < len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        end = place + 12 + length
        if kind in _PIXEL_CHUNKS:
            kept.append(content[place:end])
        elif kind == b"iCCP":
            profile = _profile(content[place + 8 : end - 4])
        place = end
    return b"".join(kept), profile


def _profile(chunk: bytes) -> bytes | None:
    """The profile in a PNG's chunk: a name, a zero, the method, and the packed bytes."""
    unpacking = zlib.decompressobj()
    try:
        found = unpacking.decompress(chunk[chunk.index(b"\0") + 2 :], _MOST_PROFILE)
    except (ValueError, zlib.error):
        return None
    return found if unpacking.eof else None


def _bare_jpeg(content: bytes) -> bytes:
    kept, place = [_JPEG], 2
    while content[place] == 0xFF and content[place + 1] != 0xDA:  # the scan: pixels from here
        (length,) = struct.unpack_from(">H", content, place + 2)
        if content[place + 1] not in _WORD_SEGMENTS:
            kept.append(content[place : place + 2 + length])
        place += 2 + length
    return b"".join([*kept, content[place:]])
