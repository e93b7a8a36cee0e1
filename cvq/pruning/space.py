"""The room that removed rows leave in the file of an SQLite database.

SQLite keeps it, and fills it with what comes later. A database that this cvq has made gives it
back page by page, while others go on. An older one has to be copied for that, during which nobody
writes: it is where that takes a few seconds at most, or where it was asked for. Postgres needs
neither: its autovacuum keeps the room for later rows.
"""

from __future__ import annotations

import time
from typing import Any

from ..db import Database
from .plan import Tick
from .report import Report

_PAGES_AT_ONCE = 500
_INCREMENTAL = 2
_SMALL = 200_000_000  # bytes that are copied within a few seconds
_SHARE = 0.25  # of the file, for which it is copied


def give_back(database: Database, report: Report, tick: Tick, *, vacuum: bool = False) -> None:
    """Make the file of an SQLite database smaller, as far as others are not held up.

    Args:
        database: of the jobs.
        report: what was given back, and what is left in the file, is added to it.
        tick: told how many pages are given back.
        vacuum: copy the database in any case.
    """
    if not database.is_sqlite:
        return
    pages, free, size = _pages(database)
    if vacuum or (not _gives_back(database) and _is_worth(free, pages, size)):
        _outside(database, "VACUUM")
    elif _gives_back(database):
        for done in range(0, free, _PAGES_AT_ONCE):
            began = time.monotonic()
            _outside(database, f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")
            tick(min(done + _PAGES_AT_ONCE, free), free)
            time.sleep(min(time.monotonic() - began, 0.5))
    _outside(database, "PRAGMA wal_checkpoint(TRUNCATE)")
    left, still_free, _ = _pages(database)
    report.freed = max(0, pages - left) * size
    report.free = still_free * size


def _is_worth(free: int, pages: int, size: int) -> bool:
    return free > _SHARE * pages and pages * size < _SMALL


def _gives_back(database: Database) -> bool:
    return bool(_ask(database, "auto_vacuum") == _INCREMENTAL)


def _pages(database: Database) -> tuple[int, int, int]:
    """How many pages the file has, how many of them are free, and the bytes of one."""
    return tuple(_ask(database, word) for word in ("page_count", "freelist_count", "page_size"))


def _ask(database: Database, word: str) -> Any:
    with database.read() as connection:
        return connection.exec_driver_sql(f"PRAGMA {word}").scalar()


def _outside(database: Database, statement: str) -> None:
    """Run a statement that has no transaction around it."""
    with database.outside() as connection:
        connection.executescript(statement)  # `execute` would stop after the first page
