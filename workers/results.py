"""A job's result on its way from the job's process into the database, as JSON.

A small one travels in the message that announces it, a large one in a file beside it, and in
another the numbers in it that can be asked for. Neither side encodes or decodes a large one in
one go: Python's lock would be in one pair of hands for seconds, and no lease could be renewed
meanwhile.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cvq.errors import PermanentError
from cvq.jobs import EncodedJson
from cvq.summaries import numbers_of

FILE, NUMBERS = "result.json", "numbers.json"
LARGEST = 100_000_000  # bytes; also what Postgres takes as one value of JSON
_INLINE = 50_000  # bytes that go in the message itself
_MOST_NUMBERS = 1_000_000  # bytes; 500 numbers with names of 200 characters are fewer
_ESCAPE = re.compile(r"\\(?:u0000|.)")


def write(result: Any, folder: Path) -> bytes | None:
    """Encode a result; return it where it is small, else write it into `folder`.

    Raises:
        PermanentError: it is larger than `LARGEST`.
        TypeError, ValueError: it is no JSON, or holds NaN.
    """
    encoded = _pieces(result)
    head, size = [], 0
    for piece in encoded:
        head.append(piece)
        size += len(piece)
        if size > _INLINE:
            break
    else:
        return b"".join(head)
    with (folder / FILE).open("wb") as file:
        file.write(b"".join(head))
        for piece in encoded:
            file.write(piece)
            size += len(piece)
            if size > LARGEST:
                raise PermanentError(
                    f"the result is larger than {LARGEST // 1_000_000} MB as JSON: "
                    "write it into a file with ctx.artifact()"
                )
    numbers = b"".join(_pieces(numbers_of(result)))
    (folder / NUMBERS).write_bytes(numbers)
    return None


def read(folder: Path) -> EncodedJson:
    """What `write` has left in a folder.

    Raises:
        PermanentError: it is something else.
    """
    try:
        numbers = json.loads(_text(folder / NUMBERS, _MOST_NUMBERS))
    except ValueError:
        raise _foreign(NUMBERS) from None
    if not isinstance(numbers, dict) or not all(map(_is_number, numbers.values())):
        raise _foreign(NUMBERS)
    return EncodedJson(_text(folder / FILE, 2 * LARGEST), numbers)


def _text(path: Path, most: int) -> str:
    if path.is_symlink() or not path.is_file() or path.stat().st_size > most:
        raise _foreign(path.name)
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        raise _foreign(path.name) from None


def _foreign(name: str) -> PermanentError:
    return PermanentError(f"{name} is not what the job's process has written")


def _is_number(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _pieces(result: Any) -> Iterator[bytes]:
    """JSON as every database takes it: without NUL, and without half of a surrogate pair."""
    # `iterencode` is Python's own loop; `encode` would hold the lock until all is done.
    for piece in json.JSONEncoder(allow_nan=False, ensure_ascii=False).iterencode(result):
        if "\\u0000" in piece:
            piece = _ESCAPE.sub(lambda m: "\ufffd" if m[0] == "\\u0000" else m[0], piece)
        yield piece.encode("utf-8", "replace")
