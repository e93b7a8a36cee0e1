"""Pictures as people look at them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cvq.pictures.images import PictureError, measured
from cvq.pictures.shown import shown


def stored(image: Image.Image, format: str = "PNG", **more: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **more)
    return file.getvalue()


def test_it_is_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (30, 20), "red")
    image.paste((0, 0, 255), (0, 0, 10, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned to the right when shown
    path = tmp_path / "a.png"
    path.write_bytes(stored(image, exif=exif))
    assert measured(path) == (20, 30) == shown(path).size
    assert shown(path).getpixel((10, 2)) == (0, 0, 255)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 65535, 32768]], np.uint16), [0, 255, 127]),
        (np.array([[0, 1, 0.5]], np.float32), [0, 255, 127]),
        (np.array([[-1, 1, 0]], np.float32), [0, 255, 127]),  # stretched over its values
    ],
)
def test_more_than_8_bits_are_scaled(values: Any, expected: list[int]) -> None:
    image = shown(stored(Image.fromarray(values), "TIFF"))
    reds = list(image.getchannel("R").tobytes())
    assert [abs(a - b) <= 1 for a, b in zip(reds, expected, strict=True)] == [True] * 3


def test_what_is_transparent_stays_so() -> None:
    assert shown(stored(Image.new("RGBA", (2, 2), (1, 2, 3, 4)))).getpixel((0, 0)) == (1, 2, 3, 4)
    assert shown(stored(Image.new("CMYK", (2, 2)), "TIFF")).mode == "RGB"


def test_a_large_jpeg_is_read_in_part() -> None:
    jpeg = stored(Image.new("RGB", (1600, 1600)), "JPEG")
    assert shown(jpeg, (50, 50)).size == (200, 200)


def test_what_is_no_picture_is_told(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"none")
    with pytest.raises(PictureError, match="is not a picture"):
        measured(tmp_path / "x")
    with pytest.raises(PictureError, match="is damaged"):
        shown(stored(Image.effect_noise((99, 99), 9))[:200])
