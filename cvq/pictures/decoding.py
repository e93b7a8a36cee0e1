"""The one way from a picture file to pixels, for training and for use alike.

Whatever a camera, a scanner, a microscope or a drawing program wrote becomes upright 8-bit sRGB
or grey, by these rules:

- turned as its EXIF block says; of several frames or pages the first;
- integers of more than 8 bits are scaled by 65535, floats by 1. Where a picture goes beyond, or
  below 0, it is stretched over its own values, a thousandth left out at either end;
- pixels that are not finite become the darkest, infinite ones the lightest;
- what is transparent shows paper: white, unless somebody says black;
- profiles of RGB and CMYK, and CIE Lab, become sRGB; grey is the luma of Rec. 601.

Needs numpy, and is imported only where pictures are used: in jobs, and by `cvq data check`.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from .images import (
    Loaded,
    PictureError,
    load,
    orientation_of,
    turned,
)

Paper = Literal["white", "black"]
Note = Callable[[str], None]
Flat = tuple[Image.Image, bytes | None]

_WHITE_IS_ZERO = 262  # TIFF's PhotometricInterpretation, 0 where 0 is white
_OUTLIERS = 0.1  # per cent at either end
# Ink lighter than this vanishes on white paper.
_LIGHT_INK = 192


def picture(
    source: Path | str | bytes, *, paper: Paper = "white", note: Note | None = None
) -> Image.Image:
    """A picture in mode RGB and its full size.

    Args:
        source: a file, or its content.
        paper: what shows through where it is transparent.
        note: told in half a sentence what was not taken as it stands.

    Raises:
        PictureError: it is no picture, damaged, or too large.
        OSError: the file cannot be read.
    """
    return _srgb(*_loaded(load(source), paper, note)).convert("RGB")


def as_rgb(image: Image.Image, *, paper: Paper = "white", note: Note | None = None) -> Image.Image:
    """A picture that was opened elsewhere, of any mode, in mode RGB.

    Raises:
        PictureError: it has nothing that could be shown.
    """
    return _srgb(*_flat(image, orientation_of(image), paper, note or _mute)).convert("RGB")


def decode_picture(
    source: Path | str | bytes,
    channels: Literal[1, 3],
    size: int | None,
    *,
    paper: Paper = "white",
    note: Note | None = None,
) -> NDArray[np.uint8]:
    """A picture as networks see it, (H, W) or (H, W, 3): resized and cut square around the middle.

    Args:
        source: a file, or its content.
        channels: 1 for grey, 3 for RGB.
        size: side in pixels, or None for the picture's own width and height.
        paper: what shows through where it is transparent.
        note: told in half a sentence what was not taken as it stands.

    Raises:
        PictureError: it is no picture, damaged, or too large.
        OSError: the file cannot be read.
    """
    mode = "L" if channels == 1 else "RGB"
    found = load(source, draft=(mode, (2 * size, 2 * size)) if size else None)
    image, profile = _loaded(found, paper, note)
    return np.asarray(_srgb(square(image, size), profile).convert(mode))


def square(image: Image.Image, size: int | None) -> Image.Image:
    """The middle of a picture, its shorter side resized to `size`; as it is without a size."""
    if size is None or image.size == (size, size):
        return image
    return ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)


def ink(source: Path | bytes) -> float | None:
    """The mean luma, 0 to 255, of what is not transparent; None where nothing is transparent.

    Raises:
        PictureError: it is no picture, damaged, or too large.
        OSError: the file cannot be read.
    """
    image = load(source).image
    if image.mode.startswith("I") or image.mode == "F" or not image.has_transparency_data:
        return None
    small = image.convert("RGBA").convert("RGBa").resize((32, 32), Image.Resampling.BOX)
    alpha = np.asarray(small)[..., 3].astype(float)
    if alpha.min() == 255 or not alpha.any():
        return None
    red, green, blue = (np.asarray(small)[..., i].astype(float).sum() for i in range(3))
    return float((0.299 * red + 0.587 * green + 0.114 * blue) / alpha.sum() * 255)


def paper_for(inks: list[float]) -> Paper:
    """The paper on which ink can be seen: white, but for ink that would vanish on it."""
    return "black" if inks and sum(inks) / len(inks) > _LIGHT_INK else "white"


def _mute(note: str) -> None:
    pass


def _loaded(found: Loaded, paper: Paper, note: Note | None) -> Flat:
    if found.frames > 1 and note:
        note(f"has {found.frames} frames: the first is read")
    return _flat(found.image, found.orientation, paper, note or _mute)


def _flat(image: Image.Image, orientation: int, paper: Paper, note: Note) -> Flat:
    """Upright, opaque, 8 bits, in mode L, RGB or CMYK; and its profile, where it has one."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I") or image.mode == "F":
        image = _eight_bits(image, note)
    elif image.mode == "LAB":
        image = _from_lab(image)
    image = turned(image, orientation)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        opaque = Image.new("RGB", image.size, paper)
        opaque.paste(image, mask=image.getchannel("A"))
        image = opaque
    if image.mode == "1":
        image = image.convert("L")
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    return image, profile


def _eight_bits(image: Image.Image, note: Note) -> Image.Image:
    """Grey of more than 8 bits as 8; Pillow itself would cut it off at 255."""
    transparent = image.info.get("transparency")
    white_is_zero = getattr(image, "tag_v2", {}).get(_WHITE_IS_ZERO) == 0
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        grey = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    else:
        grey = _scaled(values, 1.0 if image.mode == "F" else 65535.0, note)
    out = Image.fromarray(255 - grey if white_is_zero else grey)
    if isinstance(transparent, int):
        out.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return out


def _scaled(values: NDArray[np.generic], full: float, note: Note) -> NDArray[np.uint8]:
    floats = values.astype(np.float64)
    finite = floats[np.isfinite(floats)]
    if not finite.size:
        raise PictureError("has no pixel with a finite value")
    if lost := floats.size - finite.size:
        note(f"has pixels that are not finite ({lost}): they are black, infinite ones white")
    low, high = 0.0, full
    if finite.min() < low or finite.max() > high:
        ends = np.percentile(finite, [_OUTLIERS, 100 - _OUTLIERS])
        low, high = min(low, float(ends[0])), max(high, float(ends[1]))
    if (low, high) != (0.0, full):
        note(f"has values beyond 0 to {full:g}: {low:.4g} is black, {high:.4g} white")
    shares = np.nan_to_num(floats, nan=low, posinf=high, neginf=low).clip(low, high)
    return np.round((shares - low) * (255 / (high - low))).astype(np.uint8)


def _from_lab(image: Image.Image) -> Image.Image:
    made = ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
    )
    found = ImageCms.applyTransform(image, made)
    assert found is not None  # it was not asked to work in place
    return found


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB and CMYK by the picture's own profile, where it has one that can be read."""
    if not profile or image.mode == "L":
        return image
    try:
        converted = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError):  # a broken profile is no reason to refuse a picture
        return image
    return converted or image
