"""Where two files begin to differ, and how two makings compare."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from cvq.proofs.comparison import File, Making, compare
from cvq.proofs.places import first_difference


def tensors(**values: list[float]) -> bytes:
    header, data = {}, b""
    for name, numbers in values.items():
        packed = struct.pack(f"<{len(numbers)}f", *numbers)
        ends = [len(data), len(data) + len(packed)]
        header[name] = {"dtype": "F32", "shape": [len(numbers)], "data_offsets": ends}
        data += packed
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def header(told: object) -> bytes:
    text = json.dumps(told).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    ("name", "before", "after", "said"),
    [
        ("x.bin", b"abc", b"abd", "byte 2: 0x63 and 0x64"),
        ("x.bin", b"abc", b"abcd", "3 and 4 bytes, the same up to the end of the shorter"),
        ("x.txt", b"a\nb\n", b"a\nc\n", "line 2: 'b' and 'c'"),
        ("x.csv", b"a\n", b"a\nc\n", "line 2: nothing and 'c'"),
        ("x.json", b'{"a": [1, {"b": 2}]}', b'{"a": [1, {"b": 3}]}', "value a[1].b: 2 and 3"),
        ("x.json", b'{"a": 1}', b'{"a": 1, "b": 2}', "value b: only in the second"),
        ("x.json", b"[1]", b"[1, 2]", "value of all: 1 and 2 items"),
        ("x.json", b'{"a": 1}', b'{"a":1}', "byte 5: 0x20 and 0x31"),
        ("x.json", b"{", b"[", "byte 0: 0x7b and 0x5b"),
        ("x.safetensors", tensors(a=[1, 2], b=[3, 4]), tensors(a=[1, 2], b=[3, 5]),
         "tensor b, value 1"),
        ("x.safetensors", b"junk", b"other", "byte 0: 0x6a and 0x6f"),
        ("x.png", b"junk", b"jump", "byte 2: 0x6e and 0x6d"),
    ],
)  # fmt: skip
def test_the_first_place(
    tmp_path: Path, name: str, before: bytes, after: bytes, said: str
) -> None:
    (tmp_path / "a").write_bytes(before)
    (tmp_path / "b").write_bytes(after)
    assert first_difference(tmp_path / "a", tmp_path / "b", name) == said


def huge_picture() -> bytes:
    """The head of a picture that is larger than Pillow would ever read."""
    chunk = b"IHDR" + struct.pack(">2I5B", 60_000, 60_000, 8, 2, 0, 0, 0)
    checked = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + checked


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("x.safetensors", b"\xff" * 7 + b"\x7f" + tensors(a=[1])[8:], tensors(a=[1])),
        ("x.safetensors", tensors(a=[1]), b"\0\0\0\0\0\1\0\0" + tensors(a=[1])[8:]),
        ("x.safetensors", header([1]) + b"a", header([1]) + b"b"),
        ("x.safetensors", header({"a": 1}) + b"a", header({"a": 1}) + b"b"),
        *(
            ("x.safetensors", header({"a": told}) + b"a", header({"a": told}) + b"b")
            for told in (
                {"shape": [0], "data_offsets": [0, 1]}, {"shape": ["x"], "data_offsets": [0, 1]},
                {"shape": [1], "data_offsets": [0]}, {"data_offsets": [0, 1]},
            )
        ),
        ("x.png", huge_picture() + b"a", huge_picture() + b"b"),
        ("x.json", b"9" * 5000, b"8" * 5000),
    ],
)  # fmt: skip
def test_a_file_that_is_not_what_its_name_says_differs_in_a_byte(
    tmp_path: Path, name: str, before: bytes, after: bytes
) -> None:
    (tmp_path / "a").write_bytes(before)
    (tmp_path / "b").write_bytes(after)
    assert first_difference(tmp_path / "a", tmp_path / "b", name).startswith("byte ")


def test_the_first_pixel(tmp_path: Path) -> None:
    one = Image.new("RGB", (5, 4), (1, 2, 3))
    other = one.copy()
    other.putpixel((3, 2), (1, 2, 9))
    other.putpixel((0, 3), (9, 9, 9))
    one.save(tmp_path / "a.png")
    other.save(tmp_path / "b.png")
    said = first_difference(tmp_path / "a.png", tmp_path / "b.png", "x.png")
    assert said == "pixel (3, 2): (1, 2, 3) and (1, 2, 9)"
    Image.new("RGB", (5, 5)).save(tmp_path / "b.png")
    said = first_difference(tmp_path / "a.png", tmp_path / "b.png", "x.png")
    assert said == "5 x 4 RGB and 5 x 5 RGB"


def test_makings() -> None:
    def making(environment: dict[str, str], *names: str) -> Making:
        return Making([File(name[0], "result", name, 1) for name in names], environment)

    found = compare(making({"torch": "1"}, "a1", "b1", "c1"), making({"cpu": "x"}, "a1", "b2"))
    assert found.equal == ["a"]
    assert not found.is_equal
    assert [(each.name, each.before, each.after) for each in found.differences] == [
        ("b", "b1", "b2"), ("c", "c1", None),
    ]  # fmt: skip
    assert found.environment == {"torch": ("1", "unknown"), "cpu": ("unknown", "x")}
    assert compare(making({}, "a1"), making({}, "a1")).is_equal
    assert not compare(making({}), making({})).is_equal  # nothing proves nothing
