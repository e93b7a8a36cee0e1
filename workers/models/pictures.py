"""Pictures from files to float tensors and back, as every model of pictures needs them.

Whatever a camera, a scanner or a drawing program wrote becomes upright 8-bit sRGB; what a job
made is written with the job's number and specification inside, so that a picture that has left
the store still tells how to make it again.
"""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image, ImageCms, ImageOps, PngImagePlugin
from torch import Tensor

from cvq.errors import PermanentError

PAPER = (255, 255, 255)  # what shows through where a picture is transparent
JPEG_QUALITY = 95


def open_picture(path: Path, name: str | None = None) -> Image.Image:
    """Open a picture of any format and mode as upright sRGB without transparency.

    Args:
        path: the file.
        name: what an error calls it, where the file lies under another name.

    Raises:
        PermanentError: it is not a picture, damaged, or too large to be decoded safely.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return as_rgb(image)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise PermanentError(f"{name or path} cannot be read as a picture: {error}") from error


def as_rgb(image: Image.Image) -> Image.Image:
    """Turn a picture of any mode into mode RGB: upright, sRGB, opaque, 8 bits.

    Raises:
        ValueError: Pillow knows no way from its mode to RGB.
    """
    image = ImageOps.exif_transpose(image)
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I") or image.mode == "F":
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        opaque = Image.new("RGB", image.size, PAPER)
        opaque.paste(image, mask=image.getchannel("A"))
        image = opaque
    if profile and image.mode in ("RGB", "CMYK"):
        image = _to_srgb(image, profile)
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale greyscale of 16 or 32 bits, or of floats, to 0..255; Pillow itself would cut it off.

    Integers are taken as 16 bits, the most that cameras and scanners write; floats as 0..1. A
    picture that goes beyond is scaled by its own maximum.
    """
    values = np.asarray(image, dtype=np.float64)
    full = max(1.0 if image.mode == "F" else 65535.0, float(np.nanmax(values)))
    scaled = np.nan_to_num(values / full).clip(0, 1)
    return Image.fromarray(np.round(scaled * 255).astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
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


def to_tensor(image: Image.Image) -> Tensor:
    """Return a picture of mode RGB or L as (1, 3 or 1, H, W), float32 in 0..1."""
    values = torch.from_numpy(np.array(image, dtype=np.float32))
    return values.view(1, image.height, image.width, -1).permute(0, 3, 1, 2).contiguous() / 255


def to_image(picture: Tensor) -> Image.Image:
    """Return (1, 3 or 1, H, W), values in 0..1, as a picture of mode RGB or L."""
    values = picture.detach()[0].float().mul(255).round().clamp(0, 255)
    channels = values.byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(channels[..., 0] if channels.shape[2] == 1 else channels)


def luminance(picture: Tensor) -> Tensor:
    """Return the luma of RGB (1, 3, H, W) as (1, 1, H, W), by the weights of ITU-R BT.601."""
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (picture * weights).sum(dim=1, keepdim=True)


def matched(style: Tensor, content: Tensor) -> Tensor:
    """Give a style's luminance the mean and deviation of the content's."""
    spread = content.std(correction=0) / style.std(correction=0).clamp(min=1e-3)
    return (style - style.mean()) * spread + content.mean()


def save_picture(image: Image.Image, path: Path, *, job_id: int, spec: dict[str, Any]) -> None:
    """Write a picture as PNG or JPEG, by the name's ending, with what made it inside.

    A PNG has the text chunks `Software`, `cvq:job` and `cvq:spec` (JSON); a JPEG has the same
    as JSON in its comment, `{"job": ..., "spec": {...}}`, and `Software` in its EXIF block.
    """
    if path.suffix == ".png":
        text = PngImagePlugin.PngInfo()
        text.add_text("Software", "cvq")
        text.add_text("cvq:job", str(job_id))
        text.add_text("cvq:spec", json.dumps(spec))
        image.save(path, pnginfo=text)
        return
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = "cvq"
    comment = json.dumps({"job": job_id, "spec": spec}).encode()
    # 4:4:4: halved colour smears the edges of brush strokes.
    image.save(path, quality=JPEG_QUALITY, subsampling=0, exif=exif, comment=comment)
