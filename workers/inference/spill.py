"""Answers that wait to be left: so much of them in memory, and the rest on disk."""

from __future__ import annotations

import json
import os
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from cvq.inference import Answer

_MOST_BYTES = 64 << 20  # in memory
_LARGE = 1 << 16  # bytes of a row
_NUMBER = 24  # bytes


class Spill:
    """Keeps large rows of answers, and their files.

    What is on disk has no name, and is gone with the last answer that needs it, or the process.

    Args:
        folder: where that is; default: that of the system.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._held = 0
        self._file: _File | None = None

    def keep(self, answer: Answer) -> Answer:
        """The same answer, what is large in it to be read when it is needed.

        Raises:
            OSError: it cannot be written.
        """
        files = sum(map(len, answer.files.values())) if answer.files else 0
        row = size_of(answer.row)
        self._held += files + row
        if self._held <= _MOST_BYTES:
            return answer
        self._file = self._file or _File(self._folder)
        kept = answer
        if files:
            kept = replace(kept, files=_Files(self._file, answer.files))
        if row >= _LARGE:
            with suppress(TypeError, ValueError, RecursionError):  # it is no JSON, and stays here
                kept = replace(kept, row=_Row(self._file, answer.row))
        return kept


def size_of(value: Any) -> int:
    """About how many bytes a value takes: items of a list are like its first."""
    kind = type(value)
    if kind is float or kind is int:  # most are
        return _NUMBER
    if kind is str or kind is bytes:
        return len(value)
    if kind is list or kind is tuple:
        return len(value) * (8 + size_of(value[0])) if value else 0
    if kind is dict:
        return sum(map(size_of, value.values()))
    return int(getattr(value, "nbytes", _NUMBER))


class _File:
    """A file without a name, closed when nobody has it any more."""

    def __init__(self, folder: Path | None) -> None:
        self._descriptor, path = tempfile.mkstemp(dir=folder)
        weakref.finalize(self, os.close, self._descriptor)
        Path(path).unlink()
        self._end = 0
        self.last: tuple[object, dict[str, Any]] | None = None  # the row that was read last

    def append(self, content: bytes) -> tuple[int, int]:
        """Write a content at the end; its place and size."""
        place, rest = self._end, memoryview(content)
        while rest:
            written = os.pwrite(self._descriptor, rest, self._end)
            rest, self._end = rest[written:], self._end + written
        return place, self._end - place

    def read(self, place: int, size: int) -> bytes:
        """The content of a place."""
        return os.pread(self._descriptor, size, place)


class _Files(Mapping[str, bytes]):
    """Contents in a file, by name."""

    def __init__(self, file: _File, contents: Mapping[str, bytes]) -> None:
        self._file = file
        self._places = {name: file.append(content) for name, content in contents.items()}

    def __getitem__(self, name: str) -> bytes:
        return self._file.read(*self._places[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class _Row(Mapping[str, Any]):
    """A row in a file, as JSON; of all of them, the one that was read last is in memory."""

    def __init__(self, file: _File, row: Mapping[str, Any]) -> None:
        self._file = file
        self._place = file.append(json.dumps(row).encode())

    def _read(self) -> dict[str, Any]:
        if self._file.last is None or self._file.last[0] is not self:
            self._file.last = (self, json.loads(self._file.read(*self._place)))
        return self._file.last[1]

    def __getitem__(self, name: str) -> Any:
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())
