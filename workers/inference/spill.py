"""Files of answers that wait to be left: so much of them in memory, and the rest on disk."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from cvq.inference import Answer

_MOST_BYTES = 64 << 20  # in memory


class Spill:
    """Keeps the files of answers.

    What is on disk has no name, and is gone with the last answer that needs it, or the process.

    Args:
        folder: where that is; default: that of the system.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._held = 0
        self._file: _File | None = None

    def keep(self, answer: Answer) -> Answer:
        """An answer with the same files, to be read when they are needed.

        Raises:
            OSError: they cannot be written.
        """
        size = sum(map(len, answer.files.values()))
        self._held += size
        if not size or self._held <= _MOST_BYTES:
            return answer
        return replace(answer, files=self._written(answer.files))

    def _written(self, files: Mapping[str, bytes]) -> _OnDisk:
        self._file = self._file or _File(self._folder)
        places = {name: self._file.append(content) for name, content in files.items()}
        return _OnDisk(self._file, places)


class _File:
    """A file without a name, closed when nobody has it any more."""

    def __init__(self, folder: Path | None) -> None:
        self._descriptor, path = tempfile.mkstemp(dir=folder)
        weakref.finalize(self, os.close, self._descriptor)
        Path(path).unlink()
        self._end = 0

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


class _OnDisk(Mapping[str, bytes]):
    """Contents in a file, by name."""

    def __init__(self, file: _File, places: Mapping[str, tuple[int, int]]) -> None:
        self._file, self._places = file, places

    def __getitem__(self, name: str) -> bytes:
        return self._file.read(*self._places[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
