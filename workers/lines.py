"""Bytes into lines, and steps into a time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

_LONGEST_LINE = 16_384  # bytes; a longer one is cut into several


class LineSplitter:
    """Cuts a stream of bytes into lines and hands each on, the unfinished last one included.

    Args:
        emit: called with each line, without its newline.
        limit: bytes after which a line is cut; None for never.
    """

    def __init__(self, emit: Callable[[bytes], None], limit: int | None = _LONGEST_LINE) -> None:
        self._emit = emit
        self._limit = limit
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes; none at all means that the stream has ended."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._cut(line)
        if not data and self._rest:
            self._cut(self._rest)
            self._rest = b""
        while self._limit is not None and len(self._rest) > self._limit:
            self._emit(self._rest[: self._limit])
            self._rest = self._rest[self._limit :]

    def _cut(self, line: bytes) -> None:
        size = self._limit or len(line) or 1
        for start in range(0, max(len(line), 1), size):
            self._emit(line[start : start + size])


class Progress:
    """The last progress of a job, with the seconds left by its speed so far."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self._first: tuple[int, float] | None = None
        self._last: dict[str, Any] | None = None
        self._fresh = False

    def update(self, done: int, total: int, unit: str) -> None:
        """Note that `done` of `total` units are done."""
        now = time.monotonic()
        if self._first is None or done < self._first[0]:
            self._first = (done, now)
        since, begun = self._first
        eta = (total - done) * (now - begun) / (done - since) if done > since else None
        self._last = {
            "done": done,
            "total": total,
            "unit": unit,
            "eta_s": None if eta is None else round(max(eta, 0.0), 1),
        }
        self._fresh = True

    def take(self) -> dict[str, Any] | None:
        """What has not been taken yet, or None where nothing is new."""
        fresh, self._fresh = self._fresh, False
        return self._last if fresh else None
