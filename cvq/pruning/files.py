"""The files that nobody names any more: removed after the rows, and found again after a kill."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select

from .. import tables as t
from ..artifacts import ArtifactStore
from ..db import Database
from ..errors import StoreError
from ..given import among
from .plan import Tick
from .report import Report

_AT_ONCE = 500
_THREADS = 16  # a bucket answers each request after a while


def remove_leftovers(
    database: Database, artifacts: Callable[[], ArtifactStore], report: Report, tick: Tick
) -> None:
    """Remove the files whose rows are gone, also those that an earlier prune was killed before.

    What somebody names again stays. An input that was used within the last day stays for now, as
    somebody may be about to submit a job that takes it.

    Args:
        database: which knows them.
        artifacts: the store.
        report: what is freed is added to it.
        tick: told how many are done; may raise to end it.

    Raises:
        StoreError: the store cannot be written at all.
    """
    with database.read() as connection:
        total = connection.scalar(select(func.count()).select_from(t.leftovers)) or 0
    after = done = 0
    while total:
        with database.read() as connection:
            query = select(t.leftovers).where(t.leftovers.c.id > after)
            rows = connection.execute(query.order_by(t.leftovers.c.id).limit(_AT_ONCE)).all()
            named = _named(connection, rows)
        if not rows:
            break
        after = rows[-1].id
        settled = _remove(artifacts(), rows, named, report)
        with database.write() as connection:
            connection.execute(delete(t.leftovers).where(among(t.leftovers.c.id, settled)))
            gone = _gone(connection, {row.job_id for row in rows if row.job_id is not None})
        for job in gone:
            artifacts().remove_folder(job)
        done += len(rows)
        tick(min(done, total), total)


def _remove(
    store: ArtifactStore, rows: Sequence[Row[Any]], named: set[str], report: Report
) -> list[int]:
    """Remove files; return the leftovers with which nothing is left to do."""
    settled = []
    wanted: dict[str, list[int]] = {}
    for row in rows:
        if _key(row) in named:
            settled.append(row.id)
        else:
            wanted.setdefault(_key(row), []).append(row.id)
    inputs = {_key(row) for row in rows if row.uri is None}
    errors: list[StoreError] = []

    def remove(key: str) -> int | StoreError | None:
        """Its bytes; -1 where it is gone already, None where it stays for now."""
        try:
            if key in inputs:
                return store.remove_input(key)
            freed = store.remove_file(key)
            return -1 if freed is None else freed
        except StoreError as error:
            return error

    with ThreadPoolExecutor(_THREADS) as threads:
        for (key, ids), freed in zip(wanted.items(), threads.map(remove, wanted), strict=True):
            if isinstance(freed, StoreError):
                errors.append(freed)
            elif freed is None:
                report.later += 1
            else:
                settled += ids
                report.files += freed > 0 or (freed == 0 and key not in inputs)
                report.bytes += max(freed, 0)
    if errors:
        # Files of a store that was used before are no sign that this one cannot be written.
        own = sum(key in inputs or store.has_place(key) for key in wanted)
        if own and len(errors) == len(wanted):
            raise errors[0]
        report.failed += len(errors)
        report.trouble = report.trouble or str(errors[0])
    return settled


def _key(row: Row[Any]) -> str:
    return str(row.sha256 if row.uri is None else row.uri)


def _named(connection: Connection, rows: Sequence[Row[Any]]) -> set[str]:
    """Those that somebody still names, or does again."""
    jobs, a, left = t.jobs.c, t.artifacts.c, t.leftovers.c
    owners = {row.job_id for row in rows if row.job_id is not None}
    twins = set(connection.scalars(select(jobs.id).where(among(jobs.twin_of, owners))))
    files = select(a.uri).where(among(a.job_id, owners | twins))
    inputs = (
        select(left.sha256)
        .where(among(left.id, [row.id for row in rows if row.uri is None]))
        .where(select(t.inputs.c.job_id).where(t.inputs.c.sha256 == left.sha256).exists())
    )
    digests = [row.sha256 for row in rows if row.uri is None]
    manifests = select(t.batches.c.manifest).where(t.batches.c.manifest.in_(digests))
    queries = [*([files] if owners else []), *([inputs, manifests] if digests else [])]
    return {each for query in queries for each in connection.scalars(query)}


def _gone(connection: Connection, ids: Iterable[int]) -> set[int]:
    """Those of some jobs that there are no more."""
    wanted = set(ids)
    return wanted - set(connection.scalars(select(t.jobs.c.id).where(among(t.jobs.c.id, wanted))))
