"""Bad pictures are refused in one line before anything is queued; good ones pass."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from cvq.errors import InvalidInputError
from cvq.pictures.images import check_image, load

LIMIT = 100_000_000


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "good.png"
    _noise(40, 30).save(path)
    return path


def _noise(width: int, height: int) -> Image.Image:
    return Image.frombytes(
        "RGB", (width, height), bytes(i * 7 % 251 for i in range(width * height * 3))
    )


def refused(path: Path, limit: int = LIMIT) -> str:
    with pytest.raises(InvalidInputError) as caught:
        check_image(path, limit)
    message = str(caught.value)
    assert str(path) in message
    assert caught.value.exit_code == 2
    return message


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, data: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (_chunk(b"IHDR", header), _chunk(b"IDAT", data), _chunk(b"IEND", b""))
    )


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tiff", "a.bmp", "a.gif", "a.ppm"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_every_accepted_format_passes(tmp_path: Path, name: str, mode: str) -> None:
    _noise(40, 30).convert(mode).save(tmp_path / name)
    check_image(tmp_path / name, LIMIT)


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "CMYK", "I;16"])
def test_every_usual_mode_passes(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    Image.new(mode, (8, 8)).save(path)
    check_image(path, LIMIT)


def test_a_picture_whose_name_lies_about_its_format_passes(picture: Path) -> None:
    check_image(picture.rename(picture.with_suffix(".jpg")), LIMIT)


def test_what_is_not_there(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "missing.png")
    assert "does not exist" in refused(tmp_path / "a\x00b.png")
    assert "cannot be read" in refused(tmp_path / ("a" * 5000))
    (tmp_path / "dangling.png").symlink_to(tmp_path / "missing.png")
    assert "does not exist" in refused(tmp_path / "dangling.png")


def test_what_is_no_file(tmp_path: Path) -> None:
    assert "is a folder" in refused(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    assert "not a regular file" in refused(tmp_path / "pipe.png")  # and does not wait for a writer
    assert "not a regular file" in refused(Path("/dev/zero"))


@pytest.mark.parametrize(
    "content", [b"", b"Dear diary,\n" * 100, b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\x00" * 4096]
)
def test_what_is_no_picture(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    message = refused(path)
    assert ("0 bytes" if not content else "picture") in message or "damaged" in message


@pytest.mark.parametrize("suffix", [".eps", ".pdf"])
def test_formats_that_can_carry_programs_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    _noise(8, 8).save(path)
    assert "not a picture that cvq reads (PNG, JPEG" in refused(path.rename(tmp_path / "a.png"))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff", ".bmp", ".gif"])
def test_a_truncated_picture_is_damaged(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    _noise(64, 64).save(path)
    data = path.read_bytes()
    for part in (0.5, 0.9):
        path.write_bytes(data[: int(len(data) * part)])
        assert "damaged" in refused(path)


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(_png(50_000, 50_000, zlib.compress(b"")))
    assert "megapixels" in refused(path)
    path.write_bytes(_png(2**31 - 1, 2**31 - 1, zlib.compress(b"")))
    assert "megapixels" in refused(path)


def test_a_bomb_of_a_few_kilobytes_is_never_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.png"
    packer = zlib.compressobj(9)
    row = b"\x00" * 12_001
    data = b"".join(packer.compress(row) for _ in range(12_000)) + packer.flush()
    path.write_bytes(_png(12_000, 12_000, data))
    assert path.stat().st_size < 200_000
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("it was unpacked"))
    assert "12000 x 12000 pixels; the limit is 100 megapixels (CVQ_MAX_PIXELS)" in refused(path)


def test_the_limit_counts_pixels(picture: Path) -> None:
    check_image(picture, 1200)
    assert "40 x 30 pixels" in refused(picture, 1199)


def test_a_picture_that_may_not_be_read(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # By force: root may read everything.
    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", deny)
    assert "permission denied" in refused(picture)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff", ".bmp", ".gif", ".ppm"])
@settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 10_000), st.binary(min_size=1, max_size=4)), max_size=8
    )
)
def test_a_damaged_picture_passes_or_is_refused_in_one_line(
    tmp_path: Path, suffix: str, changes: list[tuple[int, bytes]]
) -> None:
    path = tmp_path / f"a{suffix}"
    _noise(16, 12).save(path)
    data = bytearray(path.read_bytes())
    for position, replacement in changes:
        start = position % len(data)
        data[start : start + len(replacement)] = replacement
    path.write_bytes(data)
    with contextlib.suppress(InvalidInputError):
        check_image(path, 1_000_000)


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EIO, "Input/output error")])
def test_what_the_machine_cannot_do_is_no_damage(
    picture: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    for source in (picture, picture.read_bytes()):
        with pytest.raises(type(error)) as caught:
            load(source)
        assert caught.value is error


def test_warnings_are_as_before_when_several_threads_have_decoded() -> None:
    content = io.BytesIO()
    Image.new("RGB", (64, 64)).save(content, "PNG")
    before = list(warnings.filters)
    for _ in range(20):
        with ThreadPoolExecutor(4) as pool:
            for loaded in pool.map(load, [content.getvalue()] * 40):
                assert loaded.image.size == (64, 64)
        assert list(warnings.filters) == before
