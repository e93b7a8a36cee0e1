"""Bytes into lines."""

from __future__ import annotations

from collections.abc import Callable

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
