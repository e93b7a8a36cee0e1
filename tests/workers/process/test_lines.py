"""Bytes into lines."""

from __future__ import annotations

import pytest

from cvq_workers.process.lines import LineSplitter


def split(*pieces: bytes, limit: int = 10) -> list[bytes]:
    lines: list[bytes] = []
    splitter = LineSplitter(lines.append, limit)
    for piece in (*pieces, b""):
        splitter.feed(piece)
    return lines


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([b"one\ntwo\n"], [b"one", b"two"]),
        ([b"on", b"e\nt", b"wo"], [b"one", b"two"]),
        ([b"\n\n"], [b"", b""]),
        ([], []),
        ([b"0123456789"], [b"0123456789"]),
        ([b"0123456789\n"], [b"0123456789"]),
        ([b"0123456789a\n"], [b"0123456789", b"a"]),
        ([b"01234", b"56789", b"abcde\nx"], [b"0123456789", b"abcde", b"x"]),
        ([b"x" * 35], [b"x" * 10] * 3 + [b"x" * 5]),
    ],
)
def test_lines(pieces: list[bytes], lines: list[bytes]) -> None:
    assert split(*pieces) == lines


def test_a_long_line_is_copied_once_and_not_with_every_piece() -> None:
    class Counted(bytes):
        """Counts the bytes that were appended to others."""

        joined = 0

        def __radd__(self, other: bytes) -> bytes:
            Counted.joined += len(other) + len(self)
            return bytes(other) + bytes(self)

    pieces = [Counted(b"x" * 1000) for _ in range(1000)]
    assert len(b"".join(split(*pieces, limit=1 << 30))) == 1_000_000
    assert Counted.joined < 2_000_000
