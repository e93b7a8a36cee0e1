"""One decoder for training and use: what each kind of file becomes, and what is no damage."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin, features

from cvq.pictures import decoding, images
from cvq.pictures.images import PictureError, check_image, limit_pixels

Array = np.ndarray


def file_of(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def grey(data: bytes, size: int | None = None) -> Array:
    """As a network sees it; the full-size way gives the same."""
    found = decoding.decode_picture(data, 1, size)
    if size is None:
        other = np.asarray(decoding.picture(data).convert("L"))
        np.testing.assert_array_equal(found, other)
    return found


def ink(level: int) -> bytes:
    """A square of ink on transparency."""
    pixels = np.full((28, 28, 4), level, np.uint8)
    pixels[..., 3] = 0
    pixels[8:20, 8:20, 3] = 255
    return file_of(Image.fromarray(pixels))


RAMP = np.arange(784).reshape(28, 28)


def test_black_ink_on_transparency_is_black_on_white() -> None:
    found = grey(ink(0))
    assert (found[10, 10], found[0, 0]) == (0, 255)
    assert decoding.ink(ink(0)) == pytest.approx(0)


def test_white_ink_gets_black_paper() -> None:
    lightness = decoding.ink(ink(250))
    assert lightness == pytest.approx(250, abs=2)
    assert decoding.paper_for([250.0, 240.0]) == "black"
    assert decoding.paper_for([0.0, 120.0]) == decoding.paper_for([]) == "white"
    found = decoding.decode_picture(ink(250), 1, None, paper="black")
    assert (found[10, 10], found[0, 0]) == (250, 0)
    assert decoding.ink(file_of(Image.new("RGBA", (8, 8), "red"))) is None


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_by_their_range(kind: str) -> None:
    values = (RAMP * 83).astype(np.uint16)
    found = grey(file_of(Image.fromarray(values), kind))
    np.testing.assert_array_equal(found, np.round(values / 257).astype(np.uint8))


def test_a_transparent_value_of_sixteen_bits_shows_paper() -> None:
    image = Image.fromarray((RAMP * 83).astype(np.uint16))
    image.info["transparency"] = 830
    assert np.asarray(decoding.as_rgb(image))[0, 10].tolist() == [255] * 3
    assert np.asarray(decoding.as_rgb(image))[0, 11].tolist() == [4] * 3


def test_a_tiff_whose_white_is_zero_is_turned() -> None:
    image = Image.fromarray(np.array([[0, 65535]], np.uint16))
    data = file_of(image, "TIFF", tiffinfo={262: 0})
    with Image.open(io.BytesIO(data)) as opened:
        raw = np.asarray(opened).tolist()
    assert grey(data).tolist() == [[255 - value // 257 for value in raw[0]]]


def test_floats_from_0_to_1_stand_as_they_are() -> None:
    values = np.linspace(0.2, 0.7, 784, dtype=np.float32).reshape(28, 28)
    found = grey(file_of(Image.fromarray(values), "TIFF"))
    np.testing.assert_array_equal(found, np.round(values.astype(float) * 255).astype(np.uint8))


@pytest.mark.parametrize("stranger", [np.inf, -np.inf, np.nan, 1e30, -9999.0])
def test_one_strange_value_darkens_nothing(stranger: float) -> None:
    values = np.linspace(0, 1, 4096, dtype=np.float32).reshape(64, 64)
    expected = np.round(values.astype(float) * 255).astype(np.uint8)
    values[10, 10] = stranger
    notes: list[str] = []
    data = file_of(Image.fromarray(values), "TIFF")
    found = decoding.decode_picture(data, 1, None, note=notes.append)
    found = found.copy()
    assert found[10, 10] == (255 if stranger > 0 else 0)
    found[10, 10] = expected[10, 10]
    np.testing.assert_array_equal(found, expected)
    assert notes == [] if np.isfinite(stranger) else "pixels that are not finite (1)" in notes[0]


def test_values_beyond_are_stretched_with_a_word() -> None:
    notes: list[str] = []
    values = np.linspace(-3, 12, 4096, dtype=np.float32).reshape(64, 64)
    data = file_of(Image.fromarray(values), "TIFF")
    found = decoding.decode_picture(data, 1, None, note=notes.append)
    assert (int(found.min()), int(found.max())) == (0, 255)
    assert int(found[32, 0]) == pytest.approx(127, abs=1)
    assert notes == ["has values beyond 0 to 1: -2.985 is black, 11.98 white"]


def test_a_picture_without_a_finite_value_is_refused(tmp_path: Path) -> None:
    values = np.full((4, 4), np.nan, np.float32)
    data = file_of(Image.fromarray(values), "TIFF")
    with pytest.raises(PictureError, match="no pixel with a finite value"):
        decoding.picture(data)
    path = tmp_path / "depth.tif"
    path.write_bytes(data)
    with pytest.raises(
        images.InvalidInputError, match=r"depth\.tif has no pixel with a finite value"
    ):
        check_image(path, 100)  # before anything is queued
    values[3, 3] = 1
    path.write_bytes(file_of(Image.fromarray(values), "TIFF"))
    check_image(path, 100)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "RGBA", "RGB", "LAB"])
def test_every_mode_has_one_meaning(mode: str) -> None:
    scene = Image.new("RGB", (28, 28), (200, 9, 9))
    if mode == "LAB":
        from PIL import ImageCms

        lab = ImageCms.createProfile("LAB")
        scene = ImageCms.profileToProfile(
            scene, ImageCms.createProfile("sRGB"), lab, outputMode="LAB"
        )
    data = file_of(scene.convert(mode), "PNG" if mode not in ("CMYK", "LAB") else "TIFF")
    found = grey(data)[0, 0]
    assert abs(int(found) - 66) <= 6 if mode != "1" else found in (0, 255)
    if mode in ("CMYK", "RGBA", "RGB", "LAB", "P"):
        found = decoding.decode_picture(data, 3, 8)
        assert np.abs(found[0, 0].astype(int) - (200, 9, 9)).max() <= 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_upright(orientation: int) -> None:
    upright = np.zeros((20, 30), np.uint8)
    upright[:5] = 255
    upright[:, :5] = 128
    turned = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.T, 6: upright.T[::-1], 7: upright.T[::-1, ::-1], 8: upright.T[:, ::-1],
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = file_of(Image.fromarray(np.ascontiguousarray(turned)), "PNG", exif=exif)
    np.testing.assert_array_equal(grey(data), upright)


def test_the_first_of_several_frames_is_read_with_a_word() -> None:
    frames = [Image.new("L", (8, 8), level) for level in (40, 200)]
    data = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])
    notes: list[str] = []
    assert decoding.decode_picture(data, 1, None, note=notes.append)[0, 0] == 40
    assert notes == ["has 2 frames: the first is read"]


# --- What is no damage --------------------------------------------------------------------------


def worded(**chunks: object) -> bytes:
    return file_of(Image.new("RGB", (64, 64), (200, 30, 30)), "PNG", **chunks)


def texts(count: int) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for number in range(count):
        info.add_text(f"workflow{number}", "x" * (2 << 20), zip=number % 2 == 0)
    return info


def spoilt(data: bytes, kind: bytes) -> bytes:
    place = data.index(kind)
    return data[: place + 6] + bytes([data[place + 6] ^ 255]) + data[place + 7 :]


def jpeg_with(marker: int, payload: bytes) -> bytes:
    data = file_of(Image.new("RGB", (64, 64), (200, 30, 30)), "JPEG")
    segment = struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload
    return data[:2] + segment + data[2:]


NO_DAMAGE = {
    "text": lambda: worded(pnginfo=texts(1)),
    "much text": lambda: worded(pnginfo=texts(40)),
    "profile": lambda: worded(icc_profile=bytes(2 << 20)),
    "exif": lambda: worded(exif=b"Exif\0\0\0\x08\0\x02"),
    "text with a wrong checksum": lambda: spoilt(worded(pnginfo=texts(1)), b"zTXt"),
    "exif of a jpeg": lambda: jpeg_with(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\x02" + bytes(4)),
    "index of more pictures": lambda: jpeg_with(0xE2, b"MPF\0MM\0*\0\0\0\x08\0\x09" + b"\xff" * 9),
}


@pytest.mark.parametrize("what", NO_DAMAGE)
def test_broken_words_are_no_damage(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(NO_DAMAGE[what]())
    check_image(path, 10_000)
    found = np.asarray(decoding.picture(path))
    assert np.abs(found.astype(int) - (200, 30, 30)).max() < 4


def test_a_large_profile_is_kept() -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + bytes(2 << 20)
    assert images.load(worded(icc_profile=profile)).image.info["icc_profile"] == profile


def test_damaged_pixels_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = file_of(Image.fromarray(noise), "PNG", pnginfo=texts(1))
    path.write_bytes(whole[: len(whole) - 3000])
    with pytest.raises(images.InvalidInputError, match=r"a\.png is damaged: "):
        check_image(path, 10_000)


# --- How many pixels ----------------------------------------------------------------------------


def blank(side: int) -> bytes:
    """A grey picture of many pixels in few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(bytes(side + 1)) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", data), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.fixture
def _limit() -> Iterator[None]:
    before = Image.MAX_IMAGE_PIXELS, images._most_pixels
    yield
    limit_pixels(before[1])
    Image.MAX_IMAGE_PIXELS = before[0]


@pytest.mark.usefixtures("_limit")
def test_the_limit_of_pixels_is_the_settings_in_both_directions(tmp_path: Path) -> None:
    path = tmp_path / "big.png"
    path.write_bytes(blank(2000))
    Image.MAX_IMAGE_PIXELS = 1000  # Pillow's own limit has no say
    check_image(path, 4_000_000)
    with pytest.raises(images.InvalidInputError, match=r"2000 x 2000 pixels; the limit is 3\.99"):
        check_image(path, 3_990_000)
    assert Image.MAX_IMAGE_PIXELS == 1000
    limit_pixels(4_000_000)
    assert decoding.decode_picture(path.read_bytes(), 1, 8).shape == (8, 8)
    limit_pixels(3_990_000)
    for use in (decoding.picture, lambda p: decoding.decode_picture(p, 1, 8)):
        with pytest.raises(PictureError, match=r"limit is 3\.99 megapixels \(CVQ_MAX_PIXELS\)"):
            use(path)
    assert Image.MAX_IMAGE_PIXELS == 3_990_000  # for code that opens pictures by itself


# --- AVIF and HEIC ------------------------------------------------------------------------------


def test_avif_is_read(tmp_path: Path) -> None:
    assert features.check("avif")
    Image.new("RGB", (16, 16), (9, 200, 3)).save(tmp_path / "a.avif", quality=95)
    check_image(tmp_path / "a.avif", 1000)
    found = np.asarray(decoding.picture(tmp_path / "a.avif")).astype(int)
    assert np.abs(found - (9, 200, 3)).max() < 12


def test_heic_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_heif_decoder", lambda: None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(images.InvalidInputError, match=r"a\.heic is a HEIC picture, .*pi-heif"):
        check_image(tmp_path / "a.heic", 1000)
