"""A job's result on its way from the job's process into the database, as JSON.

A small one travels in the message that announces it, a large one in a file beside it, and in
another the numbers and words in it that can be asked for. Neither side encodes or decodes a large
one in one go: Python's lock would be in one pair of hands for seconds, and no lease could be
renewed meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, time
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

from pydantic import BaseModel

from cvq.attributes import LONGEST_TEXT, words_of
from cvq.errors import PermanentError
from cvq.records import EncodedJson
from cvq.summaries import numbers_of

log = logging.getLogger("cvq.job")

FILE, FIGURES = "result.json", "figures.json"
LARGEST = 100_000_000  # bytes; also what Postgres takes as one value of JSON
_INLINE = 50_000  # bytes that go in the message itself
_MOST_FIGURES = 4_000_000  # bytes; 500 numbers, and 500 words with their names, are fewer
_DEEPEST = 200
_MOST_BITS = 14_000  # Python reads whole numbers of up to 4,300 digits
_MOST_REMARKS, _LONGEST_TEXT, _LONGEST_PLACE = 20, 1000, 100
_OPENED: list[tuple[Any, Callable[[Any], Any]]] = [
    (Enum, lambda value: value.value),
    (PurePath, str),
    (date | time, lambda value: value.isoformat()),
    (BaseModel, lambda value: value.model_dump()),
]
_ESCAPE = re.compile(r"\\(?:u0000|.)")


@dataclass(frozen=True)
class Filed:
    """A large result that `write` has left in a folder, and nobody has read yet."""

    folder: Path

    def read(self) -> EncodedJson:
        """The result; raises what `read` does."""
        return read(self.folder)


def write(result: Any, folder: Path) -> bytes | None:
    """Encode a result; return it where it is small, else write it into `folder`.

    What is no JSON becomes the nearest that is (see `plain`), and the log says so where that loses
    something: a job that is done is not lost for a value in its result.

    Raises:
        PermanentError: it is larger than `LARGEST`.
    """
    try:
        return _write(result, folder)
    except (TypeError, ValueError, RecursionError):
        remarks: list[str] = []
        result = plain(result, remarks)
        for remark in remarks[:_MOST_REMARKS]:
            log.warning("%s", remark)
        return _write(result, folder)


def _write(result: Any, folder: Path) -> bytes | None:
    encoded = _pieces(result)
    head, size = [], 0
    for piece in encoded:
        head.append(piece)
        size += len(piece)
        if size > _INLINE:
            break
    else:
        return b"".join(head)
    folder.mkdir(parents=True, exist_ok=True)
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
    figures = {"numbers": numbers_of(result), "words": words_of(result)}
    (folder / FIGURES).write_bytes(b"".join(_pieces(figures)))
    return None


def plain(value: Any, remarks: list[str], place: str = "result", depth: int = 0) -> Any:
    """The value as JSON knows it, also deep inside: arrays and tensors as lists, paths as text.

    Args:
        value: anything.
        remarks: a sentence is added for each value that loses something by it.
        place: where the value stands, as in `result.scores[3]`.
        depth: how deep that is.
    """
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        remarks.append(f"{place} has more digits than JSON is read with: its hex text is stored")
        return hex(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        remarks.append(f"{place} is {value}, a number that JSON does not have: null is stored")
        return None
    if depth < _DEEPEST:
        for types, opened in _OPENED:
            if isinstance(value, types):
                return plain(opened(value), remarks, place, depth + 1)
        if isinstance(value, Mapping):
            return {
                _key(key): plain(each, remarks, f"{place}.{_key(key)}", depth + 1)
                for key, each in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [
                plain(each, remarks, f"{place}[{at}]", depth + 1) for at, each in enumerate(value)
            ]
        if is_dataclass(value) and not isinstance(value, type):
            record = {field.name: getattr(value, field.name) for field in fields(value)}
            return plain(record, remarks, place, depth + 1)
        if hasattr(value, "tolist"):  # numpy's and PyTorch's
            with contextlib.suppress(Exception):
                return plain(value.tolist(), remarks, place, depth + 1)
    why = "nested too deeply" if depth >= _DEEPEST else f"of type {type(value).__name__}"
    remarks.append(f"{place[:_LONGEST_PLACE]} is {why}: its text is stored")
    return _text_of(value)


def _key(key: Any) -> str:
    """A key of a record as JSON writes it."""
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, bool | int | float):
        return json.dumps(key)
    return _text_of(key)


def _text_of(value: Any) -> str:
    try:
        return str(value)[:_LONGEST_TEXT]
    except Exception:  # its own code
        return f"<{type(value).__name__}>"


def read(folder: Path) -> EncodedJson:
    """What `write` has left in a folder.

    Raises:
        PermanentError: it is something else.
    """
    try:
        figures = json.loads(_text(folder / FIGURES, _MOST_FIGURES))
        numbers, words = dict(figures["numbers"]), dict(figures["words"])
    except (ValueError, TypeError, KeyError):
        raise _foreign(FIGURES) from None
    if not (all(map(_is_number, numbers.values())) and all(map(_is_word, words.values()))):
        raise _foreign(FIGURES)
    return EncodedJson(_text(folder / FILE, 2 * LARGEST), numbers, words)


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


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_TEXT


def _pieces(result: Any) -> Iterator[bytes]:
    """JSON as every database takes it: without NUL, and without half of a surrogate pair."""
    # `iterencode` is Python's own loop; `encode` would hold the lock until all is done.
    for piece in json.JSONEncoder(allow_nan=False, ensure_ascii=False).iterencode(result):
        if "\\u0000" in piece:
            piece = _ESCAPE.sub(lambda m: "\ufffd" if m[0] == "\\u0000" else m[0], piece)
        yield piece.encode("utf-8", "replace")
