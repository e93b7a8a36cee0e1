"""Turns between users: a job's rank within its queue and priority. A claim takes the lowest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, select

from .. import tables as t
from ..states import State


def fair_rank(connection: Connection, queue: str, priority: int, user: str) -> int:
    """Start-time fair queueing (Goyal, Vin and Cheng 1996), one job as one unit of service.

    A user's jobs get consecutive ranks, beginning at the one that is served now, so users take
    turns however many jobs each has, and a claim is one look into an index.
    """
    own = connection.scalar(
        select(t.jobs.c.fair_rank)
        .where(
            t.jobs.c.queue == queue,
            t.jobs.c.priority == priority,
            t.jobs.c.user == user,
            t.in_state(State.QUEUED, State.RUNNING),
        )
        .order_by(t.jobs.c.fair_rank.desc())
        .limit(1)
    )
    return max(_served_rank(connection, queue, priority), -1 if own is None else own + 1)


def _served_rank(connection: Connection, queue: str, priority: int) -> int:
    """The rank that a queue has reached: the lowest queued, else the highest running."""
    same = and_(t.jobs.c.queue == queue, t.jobs.c.priority == priority)
    column = t.jobs.c.fair_rank
    best = select(column).where(same, t.in_state(State.QUEUED)).order_by(column).limit(1)
    last = select(column).where(same, t.in_state(State.RUNNING)).order_by(column.desc()).limit(1)
    served: int | None = connection.scalar(best)
    rank: int | None = connection.scalar(last) if served is None else served
    return rank or 0


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
    found = []
    for row in ready:
        place = (row.queue, row.priority)
        owner = (*place, row.user)
        if row.attempt:
            if place not in served:
                served[place] = _served_rank(connection, *place)
            rank = max(row.fair_rank, served[place])
        else:
            rank = following[owner] if owner in following else fair_rank(connection, *owner)
            following[owner] = rank + 1
        found.append({"ready": row.id, "rank": rank})
    return found
