"""Pictures from files to float tensors and back, as every model of pictures needs them.

`cvq/pictures/decoding.py` says how files are read; what a job made is written with the job's
number and specification inside, so that a picture that has left the store still tells how to make
it again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, PngImagePlugin
from torch import Tensor

from cvq.errors import PermanentError
from cvq.pictures import decoding
from cvq.pictures.images import PictureError

log = logging.getLogger("cvq.job")

JPEG_QUALITY = 95


def open_picture(
    path: Path | str, name: str | None = None, *, paper: decoding.Paper = "white"
) -> Image.Image:
    """Open a picture of any format and mode as upright sRGB without transparency.

    Args:
        path: the file.
        name: what an error calls it, where the file lies under another name.
        paper: what shows through where it is transparent.

    Raises:
        PermanentError: it is not a picture, damaged, or too large.
    """
    with named(name or str(path)) as note:
        return decoding.picture(path, paper=paper, note=note)


@contextmanager
def named(what: str) -> Iterator[decoding.Note]:
    """Give a note that goes into the job's log, and errors, under a picture's name.

    Raises:
        PermanentError: the block met a picture that cannot be used.
    """
    try:
        yield lambda note: log.warning("%s %s", what, note)
    except PictureError as error:
        raise PermanentError(f"{what} cannot be read as a picture: it {error}") from error
    except OSError as error:
        raise PermanentError(f"{what} cannot be read as a picture: {error}") from error


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of pixels (H, W) or (H, W, 3)."""
    content = BytesIO()
    Image.fromarray(pixels).save(content, format="PNG")
    return content.getvalue()


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


def save_picture(image: Image.Image, path: Path, *, spec: dict[str, Any]) -> None:
    """Write a picture as PNG or JPEG, by the name's ending, with what made it inside.

    A PNG has the text chunks `Software` and `cvq:spec` (JSON); a JPEG has the same as JSON in its
    comment, `{"spec": {...}}`, and `Software` in its EXIF block. The job's number is not there:
    the same work gives the same file.
    """
    if path.suffix == ".png":
        text = PngImagePlugin.PngInfo()
        text.add_text("Software", "cvq")
        text.add_text("cvq:spec", json.dumps(spec))
        image.save(path, pnginfo=text)
        return
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = "cvq"
    comment = json.dumps({"spec": spec}).encode()
    # 4:4:4: halved colour smears the edges of brush strokes.
    image.save(path, quality=JPEG_QUALITY, subsampling=0, exif=exif, comment=comment)
