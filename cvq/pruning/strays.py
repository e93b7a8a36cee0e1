"""Files of the store that no row names: what submissions and workers left that were killed.

A prune leaves none (see `leftovers`), so this is asked for by itself. Whoever has another database
with the same store must not ask for it: the files of that one are named by none of these rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from sqlalchemy import Connection, func, select

from .. import tables as t
from ..artifacts import ArtifactStore
from ..db import Database
from ..files import is_sha256
from ..given import among
from ..states import FINAL
from ..uses import IDLE_S
from .plan import Tick
from .report import Report

T = TypeVar("T")

_AT_ONCE = 500


def remove_strays(
    database: Database, store: ArtifactStore, report: Report, tick: Tick, *, dry: bool = False
) -> None:
    """Remove inputs that no job takes, and files of jobs of which nothing is known.

    Only what was neither written nor used for a day: somebody may be about to name it.

    Args:
        database: all rows that name files of the store.
        store: where they are.
        report: what is freed is added to it.
        tick: told how many files were looked at.
        dry: only count.

    Raises:
        StoreError: the store cannot be read or written.
    """
    looked = 0
    for folder, find in (("inputs", _stray_inputs), ("jobs", _stray_files)):
        files = ((path, size) for path, size, age in store.listing(folder) if age >= IDLE_S)
        for some in _pieces(files):
            with database.read() as connection:
                strays = find(connection, store, [path for path, _ in some])
            for path, size in some:
                if path in strays:
                    freed = size if dry else _remove(store, folder, path)
                    report.files += freed is not None
                    report.bytes += freed or 0
            looked += len(some)
            tick(looked, looked)


def _remove(store: ArtifactStore, folder: str, path: str) -> int | None:
    if folder == "inputs":
        return store.remove_input(path.rpartition("/")[2])
    freed = store.remove_file(store.uri_of(f"jobs/{path}"))
    store.remove_folder(_job_of(path))
    return freed


def _stray_inputs(
    connection: Connection, _store: ArtifactStore, paths: Sequence[str]
) -> Collection[str]:
    digests = {path.rpartition("/")[2]: path for path in paths}
    wanted = [digest for digest in digests if is_sha256(digest)]
    named: set[str | None] = set()
    for column in (t.inputs.c.sha256, t.batches.c.manifest, t.leftovers.c.sha256):
        named.update(connection.scalars(select(column).where(column.in_(wanted)).distinct()))
    return {digests[digest] for digest in wanted if digest not in named}


def _stray_files(
    connection: Connection, store: ArtifactStore, paths: Sequence[str]
) -> Collection[str]:
    jobs, a = t.jobs.c, t.artifacts.c
    of = {path: _job_of(path) for path in paths}
    ids = set(of.values())
    twins = set(connection.scalars(select(jobs.id).where(among(jobs.twin_of, ids))))
    named = set(connection.scalars(select(a.uri).where(among(a.job_id, ids | twins))))
    left = t.leftovers.c
    named |= set(connection.scalars(select(left.uri).where(among(left.job_id, ids))))
    states = {
        row.id: row.state
        for row in connection.execute(select(jobs.id, jobs.state).where(among(jobs.id, ids)))
    }
    last = max(
        connection.scalar(select(func.max(jobs.id))) or 0,
        connection.scalar(select(func.max(t.pruned.c.last))) or 0,
    )

    def is_stray(path: str) -> bool:
        job = of[path]
        over = states[job] in FINAL if job in states else 0 < job <= last
        return over and store.uri_of(f"jobs/{path}") not in named

    return {path for path in paths if is_stray(path)}


def _job_of(path: str) -> int:
    """Whose a file is; 0 of nobody that cvq knows."""
    first = path.partition("/")[0]
    return int(first) if first.isascii() and first.isdigit() and len(first) < 19 else 0


def _pieces(files: Iterator[T]) -> Iterator[list[T]]:
    while some := list(islice(files, _AT_ONCE)):
        yield some
