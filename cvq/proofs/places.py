"""Where two files begin to differ, said as suits what they hold."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ..endings import LINES, PICTURES, ending_of
from ..text import one_line

_BLOCK = 1 << 20
_MOST_READ = 64 << 20  # bytes of a file that is understood, and not just compared
_SHOWN = 40  # characters of a value


def first_difference(before: Path, after: Path, name: str) -> str:
    """Where two files begin to differ, as `line 3: … and …`, `value figures.loss: 1.5 and 1.6`.

    Args:
        before, after: the files; their content differs.
        name: what they are called, whose ending says what they hold.

    Raises:
        OSError: one cannot be read.
    """
    place = _byte(before, after)
    ending = ending_of(name)
    if max(before.stat().st_size, after.stat().st_size) > _MOST_READ:
        return place
    with suppress(Exception):  # one is not what its name says: its reader stumbles somewhere
        if ending == "json":
            return _value(json.loads(before.read_bytes()), json.loads(after.read_bytes())) or place
        if ending == "safetensors":
            return _tensor(before, after) or place
        if ending in LINES:
            return _line(before, after) or place
        if ending in PICTURES:
            return _pixel(before, after) or place
    return place


def _byte(before: Path, after: Path) -> str:
    at = _first_byte(before, after)
    sizes = [path.stat().st_size for path in (before, after)]
    if at >= min(sizes):
        return f"{sizes[0]:,} and {sizes[1]:,} bytes, the same up to the end of the shorter"
    one, other = (_read(path, at, 1)[0] for path in (before, after))
    return f"byte {at:,}: {one:#04x} and {other:#04x}"


def _first_byte(before: Path, after: Path) -> int:
    """The first byte in which two files differ, or the size of the shorter."""
    at = 0
    with before.open("rb") as one, after.open("rb") as other:
        while True:
            a, b = one.read(_BLOCK), other.read(_BLOCK)
            if a != b:
                both = zip(a, b, strict=False)
                return at + next(
                    (n for n, (x, y) in enumerate(both) if x != y), min(len(a), len(b))
                )
            if not a:
                return at
            at += len(a)


def _read(path: Path, at: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(at)
        return file.read(size)


def _value(before: Any, after: Any, path: str = "") -> str:
    """The first value of JSON that differs; empty where none does."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            inside = f"{path}.{key}" if path else str(key)
            if key not in before or key not in after:
                return f"value {inside}: only in the {'second' if key in after else 'first'}"
            if said := _value(before[key], after[key], inside):
                return said
        return ""
    if isinstance(before, list) and isinstance(after, list):
        for nth, (one, other) in enumerate(zip(before, after, strict=False)):
            if said := _value(one, other, f"{path}[{nth}]"):
                return said
        if len(before) != len(after):
            return f"value {path or 'of all'}: {len(before)} and {len(after)} items"
        return ""
    if type(before) is type(after) and before == after:
        return ""
    return f"value {path or 'of all'}: {_shown(before)} and {_shown(after)}"


def _shown(value: Any) -> str:
    return one_line(json.dumps(value, ensure_ascii=False), _SHOWN)


def _line(before: Path, after: Path) -> str:
    lines = (path.read_text(encoding="utf-8").splitlines() for path in (before, after))
    for number, (one, other) in enumerate(zip_longest(*lines), 1):
        if one != other:
            shown = ("nothing" if each is None else f"'{one_line(each, _SHOWN)}'"
                     for each in (one, other))  # fmt: skip
            return f"line {number}: {' and '.join(shown)}"
    return ""


def _tensor(before: Path, after: Path) -> str:
    """The tensor, and which of its values: the header says where each lies."""
    headers = [_header(path) for path in (before, after)]
    if headers[0] != headers[1]:
        return f"header: {_value(headers[0][1], headers[1][1])}"
    start, header = headers[0]
    at = _first_byte(before, after) - start
    for name, told in header.items():
        if name == "__metadata__":
            continue
        first, last = told["data_offsets"]
        if first <= at < last:
            count = 1
            for size in told["shape"]:
                count *= size
            return f"tensor {name}, value {(at - first) // max(1, (last - first) // count):,}"
    return ""


def _header(path: Path) -> tuple[int, Any]:
    size = int.from_bytes(_read(path, 0, 8), "little")
    if size > path.stat().st_size:
        raise ValueError("the header is longer than the file")
    return 8 + size, json.loads(_read(path, 8, size))


def _pixel(before: Path, after: Path) -> str:
    from PIL import ImageChops

    from ..pictures.images import load

    one, other = (load(path).image for path in (before, after))
    if (one.size, one.mode) != (other.size, other.mode):
        return " and ".join(f"{each.width} x {each.height} {each.mode}" for each in (one, other))
    found = ImageChops.difference(one.convert("RGBA"), other.convert("RGBA"))
    colours = found.convert("RGB").getbbox()
    if colours is None:
        return ""
    top = found.convert("RGB").crop((0, colours[1], one.size[0], colours[1] + 1))
    x = (top.getbbox() or (0,))[0]
    values = (each.getpixel((x, colours[1])) for each in (one, other))
    return f"pixel ({x}, {colours[1]}): {' and '.join(map(str, values))}"
