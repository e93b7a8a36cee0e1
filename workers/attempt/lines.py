"""Bytes into lines, and steps into a time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

_LONGEST_LINE = 16_384  # bytes; a longer one is cut into several


class LineSplitter:
    """Cuts a stream of bytes into lines and hands each on, the unfinished last one included.

    The time is linear in the bytes, however long a line is.

    Args:
        emit: called with each line, without its newline.
        limit: bytes after which a line is cut.
    """

    def __init__(self, emit: Callable[[bytes], None], limit: int = _LONGEST_LINE) -> None:
        self._emit = emit
        self._limit = limit
        self._rest: list[bytes] = []  # of the unfinished line
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes; none at all means that the stream has ended."""
        first, *others = data.split(b"\n")
        self._hold(first)
        for piece in others:
            self._end_line()
            self._hold(piece)
        if not data and self._size:
            self._end_line()

    def _hold(self, piece: bytes) -> None:
        if piece:
            self._rest.append(piece)
            self._size += len(piece)
        if self._size > self._limit:
            whole = b"".join(self._rest)
            kept = len(whole) % self._limit or self._limit
            for start in range(0, len(whole) - kept, self._limit):
                self._emit(whole[start : start + self._limit])
            self._rest, self._size = [whole[-kept:]], kept

    def _end_line(self) -> None:
        self._emit(b"".join(self._rest))
        self._rest, self._size = [], 0


class Progress:
    """The last progress of a job, with the seconds left by its speed so far."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self._first: tuple[float, float] | None = None  # share of the work, and when
        self._last: dict[str, Any] | None = None
        self._fresh = False

    def update(self, done: int, total: int, unit: str, share: float | None = None) -> None:
        """Note that `done` of `total` units are done, and which share of the work."""
        now = time.monotonic()
        if share is None:
            share = done / total if total else 0.0
        if self._first is None or share < self._first[0]:
            self._first = (share, now)
        since, begun = self._first
        eta = (1 - share) * (now - begun) / (share - since) if share > since else None
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
