"""Jobs laid in the trash and taken out of it: a batch as a whole, as it is pruned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, func, select

from .. import tables as t
from ..db import Database
from ..errors import UsageError
from ..given import among
from ..lifecycle import trash as steps
from ..states import FINAL
from ..views import filters
from ..views.filters import Filter
from .choice import UNFINISHED
from .plan import CHUNK, OF_BATCH, Tick

_AT_ONCE = 500


@dataclass
class Trashable:
    """Which of some jobs may be laid in the trash, and how many not, by the reason.

    Attributes:
        jobs: those that may.
        stays: how many may not.
        unfinished, of_batches: such jobs: those with their states, those with their batches.
    """

    jobs: list[int] = field(default_factory=list)
    stays: Counter[str] = field(default_factory=Counter)
    unfinished: dict[int, str] = field(default_factory=dict)
    of_batches: dict[int, int] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse all, where one may not: to be asked where each was named.

        Raises:
            UsageError: a job has not ended, or others of its batch are not meant.
        """
        for job, state in self.unfinished.items():
            raise UsageError(f"job {job} is {state}: `cvq cancel {job}` first")
        for job, batch in self.of_batches.items():
            raise UsageError(
                f"job {job} is of batch {batch}, which goes as a whole: give --batch {batch}"
            )


def trashable(database: Database, ids: Sequence[int]) -> Trashable:
    """Which of some jobs may be laid in the trash; those that are there are left out."""
    found = Trashable()
    batches: dict[int, list[int]] = {}
    with database.read() as connection:
        for row in _rows(connection, ids):
            if row.state not in FINAL:
                found.unfinished[row.id] = row.state
            elif row.trashed_at is None and row.batch is None:
                found.jobs.append(row.id)
            elif row.trashed_at is None:
                batches.setdefault(row.batch, []).append(row.id)
        sizes = _sizes(connection, batches)
    for batch, jobs in batches.items():
        if len(jobs) == sizes[batch]:
            found.jobs += jobs
        else:
            found.of_batches |= dict.fromkeys(jobs, batch)
    found.jobs.sort()
    stays = {UNFINISHED: len(found.unfinished), OF_BATCH: len(found.of_batches)}
    found.stays = Counter({why: number for why, number in stays.items() if number})
    return found


def _rows(connection: Connection, ids: Sequence[int]) -> Iterator[Any]:
    jobs = t.jobs.c
    query = select(jobs.id, jobs.state, jobs.batch, jobs.trashed_at)
    for start in range(0, len(ids), CHUNK):
        some = query.where(among(jobs.id, ids[start : start + CHUNK]))
        yield from connection.execute(some)


def _sizes(connection: Connection, batches: Collection[int]) -> dict[int, int]:
    """How many jobs of each batch are not in the trash."""
    jobs = t.jobs.c
    query = (
        select(jobs.batch, func.count())
        .where(among(jobs.batch, batches), jobs.trashed_at.is_(None))
        .group_by(jobs.batch)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def trash(database: Database, ids: Sequence[int], by: str, tick: Tick) -> list[int]:
    """Lay jobs in the trash; return those that were not there yet."""
    return _in_pieces(database, ids, lambda c, some: steps.trash(c, some, by), tick)


def restore(database: Database, ids: Sequence[int], by: str, tick: Tick) -> list[int]:
    """Take jobs out of the trash; return those that were there."""
    return _in_pieces(database, ids, lambda c, some: steps.restore(c, some, by), tick)


def _in_pieces(
    database: Database,
    ids: Sequence[int],
    step: Callable[[Connection, Sequence[int]], list[int]],
    tick: Tick,
) -> list[int]:
    done: list[int] = []
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        with database.write() as connection:
            done += step(connection, some)
        tick(start + len(some), len(ids))
    return done


def in_trash(connection: Connection, wanted: Filter) -> list[int]:
    """The jobs in the trash that a filter means, the last laid there first."""
    jobs = t.jobs.c
    which = filters.conditions(connection, replace(wanted, trashed=True))
    query = select(jobs.id).where(jobs.trashed_at.is_not(None), *which)
    return list(connection.scalars(query.order_by(jobs.trashed_at.desc(), jobs.id.desc())))
