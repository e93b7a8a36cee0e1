"""The manifest of a batch: for each item what it is and where its answer is, in the items' order.

It is an SQLite file, which the store keeps under its SHA-256 like an input. A million rows are
written and looked into without being in memory.

    name      what the item is called in the results
    place     the file's absolute path; of a member of an archive the archive's, a NUL, and where
              it is in that; NULL of what is no file of this machine
    size, mtime, ctime, inode
              of the file, or of the archive, before it was read; times in ns. NULL where it had
              been written to so lately that the next change might not show in them
    sha256    of the content as it was read; of values, of their JSON
    job, row  who answers it: which job of this batch, from 0, and which row of its answers; no row
              where the job has no other item
    earlier   the id of the job where it is one of an earlier batch
    error     why it was refused
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import quote

from .errors import StoreError

_VERSION = 1
_SETTLED_NS = 2_000_000_000  # the coarsest clock of a file system
_MOST = 1 << 63
_MOST_ALIKE = 100  # items of the same content that are looked at

_TABLE = """
CREATE TABLE items (
    nth INTEGER PRIMARY KEY, name TEXT NOT NULL, place BLOB,
    size INTEGER, mtime INTEGER, ctime INTEGER, inode INTEGER,
    sha256 BLOB, job INTEGER, row INTEGER, earlier INTEGER, error TEXT
)"""
_INDEXES = (
    "CREATE INDEX by_place ON items (place) WHERE place IS NOT NULL",
    "CREATE INDEX by_content ON items (sha256) WHERE sha256 IS NOT NULL",
)
# Of several rows at a time: a statement for each takes twice as long. An old SQLite has room for
# 999 values in one.
_WRITTEN_AT_ONCE = 80
_ASKED_AT_ONCE = 150
_FOUND = "sha256, job, row, earlier, error"
_OF_CONTENT = f"SELECT {_FOUND} FROM items WHERE sha256 = ? ORDER BY nth LIMIT {_MOST_ALIKE}"  # noqa: S608


@cache
def _insert(rows: int) -> str:
    return "INSERT INTO items VALUES " + ", ".join([f"({', '.join('?' * 12)})"] * rows)  # noqa: S608


@cache
def _of_places(rows: int) -> str:
    """For each place and stamp its number, and the first item that has these."""
    wanted = ", ".join([f"({', '.join('?' * 6)})"] * rows)
    columns = ("place", "size", "mtime", "ctime", "inode")
    alike = " AND ".join(f"each.{name} = wanted.{name}" for name in columns)
    return (
        f"WITH wanted (number, {', '.join(columns)}) AS (VALUES {wanted}) "  # noqa: S608
        f"SELECT number, {_FOUND} FROM wanted CROSS JOIN items "
        f"ON items.nth = (SELECT each.nth FROM items each WHERE {alike} LIMIT 1)"
    )


class ManifestError(ValueError):
    """What is wrong with a manifest; it reads on behind its name."""


class Stamp(NamedTuple):
    """What is another once somebody has written to a file."""

    size: int
    mtime: int
    ctime: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result, now: int) -> Self | None:
        """Of a regular file as it is; None where its next change might not show.

        Args:
            found: what the system says of it.
            now: the time in ns, from before that was asked.
        """
        written, changed = found.st_mtime_ns, found.st_ctime_ns
        # A change within the same tick of the file system's clock leaves the times as they are.
        if changed > now - _SETTLED_NS or not -_MOST <= written < now:
            return None
        if not stat.S_ISREG(found.st_mode):  # of a folder, nothing shows that changes in a file
            return None
        return cls(found.st_size, written, changed, found.st_ino % _MOST)


class Entry(NamedTuple):
    """What an item is: its row, but for where its answer is."""

    nth: int
    name: str
    place: bytes | None = None
    stamp: Stamp | None = None
    sha256: bytes | None = None


class Found(NamedTuple):
    """What a manifest knows of an item: its content, and who answers it, as in its columns."""

    sha256: bytes | None
    job: int | None
    row: int | None
    earlier: int | None
    error: str | None


class Line(NamedTuple):
    """An item as it is called in the results, and who answers it."""

    name: str
    job: int | None
    row: int | None
    earlier: int | None


def stamp_of(path: str | Path) -> Stamp | None:
    """The stamp of a regular file; None where there is none, or it tells no changes."""
    now = time.time_ns()
    try:
        return Stamp.of(os.stat(path), now)  # noqa: PTH116 - a third of the time
    except (OSError, ValueError):
        return None


class Writer:
    """Writes a manifest; items may come in any order.

    Raises:
        StoreError: the disk is full; so do `add` and `finish`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: list[object] = []  # the cells of one row after another
        with self._writable():
            self._file = sqlite3.connect(path, isolation_level=None)
            for setting in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"):
                self._file.execute(f"PRAGMA {setting}")
            self._file.execute("BEGIN")
            self._file.execute(_TABLE)

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def add(
        self,
        entry: Entry,
        job: int | None,
        row: int | None,
        earlier: int | None = None,
        error: str | None = None,
    ) -> None:
        """Take down an item, and who answers it."""
        nth, name, place, stamp, sha256 = entry
        self._waiting += (
            nth, name, place, *(stamp or _NO_STAMP), sha256, job, row, earlier, error,
        )  # fmt: skip
        if len(self._waiting) >= 12 * _WRITTEN_AT_ONCE:
            self._write()

    def finish(self) -> None:
        """Write what is left, and that by which items are found."""
        if self._waiting:
            self._write()
        with self._writable():
            for statement in _INDEXES:
                self._file.execute(statement)
            self._file.execute(f"PRAGMA user_version = {_VERSION}")
            self._file.execute("COMMIT")

    def _write(self) -> None:
        with self._writable():
            self._file.execute(_insert(len(self._waiting) // 12), self._waiting)
        self._waiting = []

    @contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"the manifest {self.path} cannot be written: {error}") from None


_NO_STAMP = (None, None, None, None)


class Manifest:
    """Reads a manifest, to which nobody writes any more. One thread at a time may use it.

    Raises:
        ManifestError: it cannot be read; so does each of its methods.
    """

    def __init__(self, path: Path) -> None:
        url = f"file:{quote(os.fsencode(path.absolute()))}?mode=ro&immutable=1"
        with _readable():
            self._file = sqlite3.connect(
                url, uri=True, check_same_thread=False, isolation_level=None
            )
        try:
            with _readable():
                (version,) = self._file.execute("PRAGMA user_version").fetchone()
            if version != _VERSION:
                raise ManifestError(f"is of version {version}: this cvq knows version {_VERSION}")
        except ManifestError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def unchanged(self, entries: Sequence[Entry]) -> Iterator[tuple[int, Found]]:
        """What is known of files that have not changed since, by their number among the items."""
        for start in range(0, len(entries), _ASKED_AT_ONCE):
            some = entries[start : start + _ASKED_AT_ONCE]
            asked: list[object] = []
            for nth, _, place, stamp, _ in some:
                asked += (nth, place, *(stamp or _NO_STAMP))
            with _readable():
                rows = self._file.execute(_of_places(len(some)), asked).fetchall()
            yield from ((row[0], Found._make(row[1:])) for row in rows)

    def alike(self, sha256: bytes) -> list[Found]:
        """What is known of items of this content, of the first hundred of them."""
        with _readable():
            return [Found(*row) for row in self._file.execute(_OF_CONTENT, (sha256,))]

    def earlier(self) -> list[int]:
        """The jobs of earlier batches that answer items."""
        query = "SELECT DISTINCT earlier FROM items WHERE earlier IS NOT NULL ORDER BY earlier"
        with _readable():
            return [job for (job,) in self._file.execute(query)]

    def lines(self) -> Generator[Line]:
        """All items, in order."""
        query = "SELECT name, job, row, earlier FROM items ORDER BY nth"
        with _readable(), closing(self._file.cursor()) as cursor:
            yield from map(Line._make, cursor.execute(query))


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise ManifestError(f"cannot be read: {error}") from None
