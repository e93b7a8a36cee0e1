"""The order in which jobs are served: who comes next, who is ahead, and the turns between users.

A queue is served in `tables.SERVING_ORDER`. Users take turns by a job's `fair_rank` within its
queue and priority, of which the lowest comes first.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    case,
    false,
    func,
    literal,
    or_,
    select,
    true,
)

from .. import tables as t
from ..records import Job
from ..states import State

_ORDER = [(t.jobs.c[name], falling) for name, falling in t.SERVING_ORDER]
_COLUMNS = [column for column, _ in _ORDER]
_BY_TURN = [column.desc() if falling else column for column, falling in _ORDER]


class Place(NamedTuple):
    """Where jobs queue that need the same.

    Attributes:
        queue: of the jobs.
        needs: `matching.Needs.key`; of a job whose needs cannot be read, its own id.
    """

    queue: str
    needs: str | int


# ---------------------------------------------------------------------------- who comes next


def places(connection: Connection, queues: Collection[str]) -> list[Place]:
    """Where jobs are queued, the place whose first job comes first at the front.

    Jobs that need the same are next to each other in an index. There is one look for each need,
    however many jobs are queued.
    """
    jobs = t.jobs.c
    found = []
    for queue in queues:
        further: ColumnElement[bool] = true()
        while first := connection.execute(
            select(jobs.needs, *_COLUMNS)
            .where(_queued(queue), further)
            .order_by(jobs.needs, *_BY_TURN)
            .limit(1)
        ).one_or_none():
            readable = type(first.needs) is str
            needs = first.needs if readable else first.id
            own = select(jobs.needs).where(jobs.id == first.id).scalar_subquery()
            further = jobs.needs > (needs if readable else own)
            found.append((_turn(first), Place(queue, needs)))
    return [place for _, place in sorted(found)]


def next_at(place: Place) -> Select[Any]:
    """The id of the job that comes next at a place."""
    return _at(place, t.jobs.c.id).limit(1)


def preferred_at(
    connection: Connection, place: Place, keys: Collection[str], most: int
) -> int | None:
    """The id of the first of the next `most` jobs at a place that has one of these batch keys.

    None of another priority than the first: what is more urgent waits for no model's convenience.
    """
    jobs = t.jobs.c
    rows = connection.execute(_at(place, jobs.id, jobs.batch_key, jobs.priority).limit(most)).all()
    alike = (row for row in rows if row.priority == rows[0].priority)
    return next((int(row.id) for row in alike if row.batch_key in keys), None)


def companions_of(job: Job, most: int) -> Select[Any]:
    """The ids of jobs of the same batch key that come next, and wait for no others.

    None of another priority: a job that is more urgent than they are waits for none of them.
    """
    jobs = t.jobs.c
    needs = select(jobs.needs).where(jobs.id == job.id).scalar_subquery()
    alike = and_(
        _queued(job.queue),
        jobs.batch_key == job.batch_key,
        jobs.priority == job.priority,
        jobs.needs == needs,
    )
    return select(jobs.id).where(alike).order_by(*_BY_TURN).limit(most)


def _at(place: Place, *columns: ColumnElement[Any]) -> Select[Any]:
    jobs = t.jobs.c
    alike = jobs.id == place.needs if isinstance(place.needs, int) else jobs.needs == place.needs
    return select(*columns).where(_queued(place.queue), alike).order_by(*_BY_TURN)


def ahead_of(connection: Connection, job: Job) -> int:
    """How many queued jobs of the same queue will be claimed before this one."""
    query = select(func.count()).where(_queued(job.queue), _before(job.id))
    return int(connection.scalar(query) or 0)


def open_to_claims(connection: Connection) -> dict[Place, int]:
    """How many jobs may be taken at each place where any may."""
    jobs = t.jobs.c
    query = (
        select(jobs.queue, jobs.needs, func.count())
        .where(_may_be_taken())
        .group_by(jobs.queue, jobs.needs)
    )
    return {Place(row[0], row[1]): row[2] for row in connection.execute(query).all()}


def _queued(queue: str) -> ColumnElement[bool]:
    """The jobs of a queue that may be taken."""
    return and_(_may_be_taken(), t.jobs.c.queue == queue)


def _may_be_taken() -> ColumnElement[bool]:
    return t.in_state(State.QUEUED)


def _turn(row: Row[Any]) -> tuple[int, ...]:
    """The serving order as a key to sort rows by."""
    values = row._mapping
    return tuple(-values[column] if falling else values[column] for column, falling in _ORDER)


def _before(job_id: int) -> ColumnElement[bool]:
    """Whether a row comes before a job."""
    return _before_turn(
        [select(column).where(t.jobs.c.id == job_id).scalar_subquery() for column in _COLUMNS]
    )


def _before_turn(turn: Sequence[ColumnElement[Any]]) -> ColumnElement[bool]:
    """Whether a row comes before a turn: the first column decides in which they differ."""
    before: ColumnElement[bool] = false()
    for (column, falling), own in reversed(list(zip(_ORDER, turn, strict=True))):
        before = or_(column > own if falling else column < own, and_(column == own, before))
    return before


def in_turn(
    queue: str,
    *columns: ColumnElement[Any],
    before: Sequence[int] | None = None,
    backwards: bool = False,
) -> Select[Any]:
    """The jobs of a queue that may be taken, in the order in which they will be.

    Args:
        queue: of the jobs.
        columns: that are wanted of them.
        before: only those before a job with these values of `SERVING_ORDER`.
        backwards: the last first.
    """
    query = select(*columns).where(_queued(queue))
    if before is not None:
        query = query.where(_before_turn([literal(value) for value in before]))
    turned = [column.asc() if falling else column.desc() for column, falling in _ORDER]
    return query.order_by(*(turned if backwards else _BY_TURN))


# ---------------------------------------------------------------------------- turns


def new_rank(connection: Connection, queue: str, priority: int, user: str) -> int:
    """Start-time fair queueing (Goyal, Vin and Cheng 1996), one job as one unit of service.

    A user's jobs get consecutive ranks, beginning at the one that is served now, so users take
    turns however many jobs each has, and a claim is one look into an index.
    """
    jobs = t.jobs.c
    own = (
        select(jobs.fair_rank)
        .where(
            jobs.queue == queue,
            jobs.priority == priority,
            jobs.user == user,
            t.in_state(State.QUEUED, State.RUNNING),
        )
        .order_by(jobs.fair_rank.desc())
        .limit(1)
    )
    return _rank(connection, *_served(queue, priority), own)


def _served_rank(connection: Connection, queue: str, priority: int) -> int:
    """The rank that a queue has reached: the lowest queued, else the highest running."""
    return _rank(connection, *_served(queue, priority))


def _served(queue: str, priority: int) -> tuple[Select[Any], Select[Any]]:
    """The lowest rank that is queued, and the highest that runs."""
    same = and_(t.jobs.c.queue == queue, t.jobs.c.priority == priority)
    column = t.jobs.c.fair_rank
    best = select(column).where(same, t.in_state(State.QUEUED)).order_by(column).limit(1)
    # As a sum, the priority is looked up in no index: few jobs run, and very many have had it.
    alike = and_(t.jobs.c.queue == queue, t.jobs.c.priority + 0 == priority)
    last = select(column).where(alike, t.in_state(State.RUNNING)).order_by(column.desc()).limit(1)
    return best, last


def _rank(
    connection: Connection, best: Select[Any], last: Select[Any], own: Select[Any] | None = None
) -> int:
    """The rank that is served, or the one behind the last of a user's own, in one question."""
    asked = [best, last] if own is None else [best, last, own]
    found = connection.execute(select(*(each.scalar_subquery() for each in asked))).one()
    served = next((rank for rank in found[:2] if rank is not None), 0)
    behind = 0 if own is None or found[2] is None else found[2] + 1
    return max(served, behind)


def returning_rank(connection: Connection, queue: str, priority: int) -> ColumnElement[int]:
    """A returning job's rank: its old one, but never one that the queue has left behind.

    A new user begins at the lowest rank, and so would get ahead of everybody by the difference.
    """
    served = _served_rank(connection, queue, priority)
    return case((t.jobs.c.fair_rank < served, served), else_=t.jobs.c.fair_rank)


def joining_ranks(connection: Connection, ready: Sequence[Any]) -> list[dict[str, int]]:
    """Where jobs that have waited join the queue: as if submitted now, one after the other.

    One that comes back for another attempt keeps its turn (see `returning_rank`).
    """
    following: dict[tuple[str, int, str], int] = {}
    served: dict[tuple[str, int], int] = {}
    joining = []
    for row in ready:
        level = (row.queue, row.priority)
        owner = (*level, row.user)
        if row.attempt:
            if level not in served:
                served[level] = _served_rank(connection, *level)
            rank = max(row.fair_rank, served[level])
        else:
            rank = following[owner] if owner in following else new_rank(connection, *owner)
            following[owner] = rank + 1
        joining.append({"ready": row.id, "rank": rank})
    return joining
