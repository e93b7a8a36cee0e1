"""The history with each batch in the place of its jobs: ten thousand would hide all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from sqlalchemy import Connection, Select, func, or_, select

from .. import tables as t
from ..batch import Batch
from ..given import among
from ..records import Job
from . import filters
from .filters import Filter

_FEW = 2  # batches whose jobs are counted at a time, as there may be a million of them

Row: TypeAlias = Job | Batch
"""A job of no batch; or a batch, with the states of those of its jobs alone that are meant."""


def find(connection: Connection, wanted: Filter) -> list[Row]:
    """Jobs and batches, the newest first: a batch stands where its newest job would.

    A limit counts both alike. How the filter is to be sorted is not asked.
    """
    alone = filters.find(connection, replace(wanted, alone=True, sort=None))
    found = connection.execute(
        _batches(connection, wanted).order_by(t.batches.c.id.desc()).limit(wanted.limit)
    ).all()
    rows: list[tuple[float, Row]] = [(job.id, job) for job in alone]
    full = wanted.limit is not None and len(alone) >= wanted.limit
    few = _FEW if full else max(1, len(found))
    for start in range(0, len(found), few):
        placed = _placed(connection, wanted, found[start : start + few])
        rows += placed
        if full and all(place < alone[-1].id for place, _ in placed):
            break  # nor do those before them find room among so many jobs
    rows.sort(key=lambda row: row[0], reverse=True)
    return [row for _, row in rows[: wanted.limit]]


def _placed(
    connection: Connection, wanted: Filter, found: Sequence[Any]
) -> list[tuple[float, Batch]]:
    """Batches with their states, and where they stand among the ids of jobs."""
    states, newest = _states(connection, wanted, [row.id for row in found])
    batches = [Batch.from_row(row, states[row.id]) for row in found]
    return [(newest.get(each.id) or _before(connection, each), each) for each in batches]


def _before(connection: Connection, batch: Batch) -> float:
    """Where a batch without jobs stands among the ids of jobs."""
    earlier = select(func.max(t.jobs.c.id)).where(t.jobs.c.created_at <= batch.created_at)
    return 0.5 + int(connection.scalar(earlier) or 0)


def count(connection: Connection, wanted: Filter, most: int | None = None) -> int:
    """How many rows there are, whatever the limit; of more than `most`, at least that many."""
    alone = filters.count(connection, replace(wanted, alone=True), most)
    if most is not None and alone >= most:
        return alone
    found = _batches(connection, wanted).limit(most).subquery()
    batches = select(func.count()).select_from(found)
    return alone + int(connection.scalar(batches) or 0)


def _batches(connection: Connection, wanted: Filter) -> Select[Any]:
    """The batches that have a job that is meant, or need none as all their items were known."""
    b = t.batches.c
    of_jobs = _of_jobs(wanted)
    asked = filters.conditions(connection, of_jobs)
    some = select(t.jobs.c.id).where(t.jobs.c.batch == b.id, *asked).exists()
    asks_nothing = not filters.terms(connection, replace(of_jobs, trashed=True))
    conditions = [or_(b.jobs == 0, some) if asks_nothing else some]
    conditions += [among(b.id, wanted.batches)] if wanted.batches else []
    conditions += [b.kind.in_(wanted.kinds)] if wanted.kinds else []
    conditions += [b.user.in_(wanted.users)] if wanted.users else []
    conditions += [b.created_at >= wanted.since] if wanted.since else []
    conditions += [b.created_at < wanted.until] if wanted.until else []
    return select(t.batches).where(*conditions)


def _of_jobs(wanted: Filter) -> Filter:
    """What a filter asks of the jobs of a batch; the rest they have in common.

    Of that, databases would rather look up all jobs of a user than the few of the batch.
    """
    return replace(wanted, kinds=(), users=(), batches=(), since=None, until=None)


def _states(
    connection: Connection, wanted: Filter, batch_ids: Sequence[int]
) -> tuple[dict[int, dict[str, int]], dict[int, int]]:
    """How many of the jobs that are meant are in each state, and the newest, of each batch."""
    jobs = t.jobs.c
    query = (
        select(jobs.batch, jobs.state, func.count(), func.max(jobs.id))
        .where(among(jobs.batch, batch_ids), *filters.conditions(connection, _of_jobs(wanted)))
        .group_by(jobs.batch, jobs.state)
    )
    states: dict[int, dict[str, int]] = {number: {} for number in batch_ids}
    newest: dict[int, int] = {}
    for batch, state, number, last in connection.execute(query).all():
        states[batch][state] = number
        newest[batch] = max(newest.get(batch, 0), last)
    return states, newest
