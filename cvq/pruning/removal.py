"""The rows of what is to go, in short transactions between which others come to theirs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import ColumnElement, Connection, func, select

from .. import tables as t
from ..db import Database
from ..given import among
from ..lifecycle import prune
from .plan import CHUNK, KNOWN, Plan, Tick, Unit
from .report import Report

_JOBS_AT_ONCE = 100
_ROWS_AT_ONCE = 3_000  # metrics and lines of logs
_LONGEST_PAUSE_S = 0.5


def remove(database: Database, plan: Plan, by: str, report: Report, tick: Tick) -> None:
    """Remove jobs; what is done when it is ended, at any moment, is done.

    Args:
        database: of the jobs.
        plan: which jobs, the newest first.
        by: who removes them.
        report: what is removed is added to it.
        tick: told how many jobs are done; may raise to end it.
    """
    total, done = len(plan.jobs), 0
    for unit in plan.units:
        if unit.batch is not None:
            with _turn(database) as connection:
                may_go = prune.withdraw(connection, unit.batch, plan.seen)
            if not may_go:
                report.stays[KNOWN] += len(unit.jobs)
                continue
        for bundle in _bundles(database, unit, plan.still):
            with _turn(database) as connection:
                removed = prune.remove(connection, bundle, by, [plan.still])
            report.jobs += len(removed.jobs)
            report.rows += removed.rows
            done += len(bundle)
            tick(done, total)
        if unit.batch is not None:
            report.batches += _end_batch(database, unit, by, report)


def _end_batch(database: Database, unit: Unit, by: str, report: Report) -> int:
    """Count a batch of which nothing is left; one without jobs goes now."""
    assert unit.batch is not None
    if not unit.jobs:
        with _turn(database) as connection:
            report.rows += prune.remove_batch(connection, unit.batch, by)
    with database.read() as connection:
        there = connection.scalar(select(t.batches.c.id).where(t.batches.c.id == unit.batch))
    return int(there is None)


def forget_files(
    database: Database, plan: Plan, groups: Sequence[str], by: str, report: Report, tick: Tick
) -> None:
    """The same for some files of jobs that stay; the report counts jobs that have lost any."""
    jobs: list[int] = []
    lost: set[int] = set()
    for unit in plan.units:
        if unit.batch is not None and "results" in groups:
            with _turn(database) as connection:
                may_go = prune.withdraw(connection, unit.batch, plan.seen)
            if not may_go:
                report.stays[KNOWN] += len(unit.jobs)
                continue
        jobs += unit.jobs
    for start in range(0, len(jobs), _JOBS_AT_ONCE):
        some = jobs[start : start + _JOBS_AT_ONCE]
        for group in groups:
            with _turn(database) as connection:
                removed = prune.forget_files(connection, some, group, by, [plan.still])
            lost.update(removed.jobs)
            report.rows += removed.rows
        tick(start + len(some), len(jobs))
    report.jobs = len(lost)


def _bundles(database: Database, unit: Unit, still: ColumnElement[bool]) -> Iterator[list[int]]:
    """Jobs that go in one transaction: some hundred, or fewer with long curves and logs."""
    for start in range(0, len(unit.jobs), CHUNK):
        some = unit.jobs[start : start + CHUNK]
        with database.read() as connection:
            sizes = _sizes(connection, some)
        bundle: list[int] = []
        rows = 0
        for job in some:
            size = sizes.get(job, 0)
            if size > _ROWS_AT_ONCE:
                if bundle:  # which may use this one, and is gone then
                    yield bundle
                    bundle, rows = [], 0
                size = _shorten(database, job, still)
            if bundle and (len(bundle) == _JOBS_AT_ONCE or rows + size > _ROWS_AT_ONCE):
                yield bundle
                bundle, rows = [], 0
            bundle.append(job)
            rows += size
        if bundle:
            yield bundle


def _sizes(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    """How many metrics and lines jobs have that have any."""
    found: dict[int, int] = {}
    for table in prune.LONG:
        of = table.c.job_id
        counted = select(of, func.count()).where(among(of, ids)).group_by(of)
        for job, number in connection.execute(counted):
            found[job] = found.get(job, 0) + number
    return found


def _shorten(database: Database, job: int, still: ColumnElement[bool]) -> int:
    """Remove the long rows of a job that is to go, piece by piece; return how many are left.

    One that somebody uses now keeps them all, as it stays.
    """
    while True:
        with _turn(database) as connection:
            goes = prune.going(connection, [job], [still])
            if not goes or not prune.trim(connection, job, _ROWS_AT_ONCE):
                return 0


@contextmanager
def _turn(database: Database) -> Iterator[Connection]:
    """A transaction, and as long a pause: SQLite lets one write at a time, and keeps no queue."""
    began = time.monotonic()
    with database.write() as connection:
        yield connection
    if database.is_sqlite:
        time.sleep(min(time.monotonic() - began, _LONGEST_PAUSE_S))
