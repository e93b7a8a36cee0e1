"""What there is at one moment: unfinished jobs by queue and state, workers, slots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from .. import queries
from .. import tables as t
from ..states import State, WorkerState

_UNFINISHED = (State.WAITING, State.QUEUED, State.RUNNING)


@dataclass(frozen=True)
class Census:
    """How many there are.

    Attributes:
        jobs: those that have not ended, by queue and state.
        workers: by state: `up`, `draining`, `silent`.
        slots, busy: of the workers that are alive.
    """

    jobs: Mapping[tuple[str, str], int]
    workers: Mapping[str, int]
    slots: int
    busy: int


def take(connection: Connection) -> Census:
    """Count, by the indexes of jobs that have not ended: those that have are never looked at."""
    jobs: dict[tuple[str, str], int] = {}
    for state in _UNFINISHED:
        counted = (
            select(t.jobs.c.queue, func.count()).where(t.in_state(state)).group_by(t.jobs.c.queue)
        )
        for queue, number in connection.execute(counted).all():
            jobs[queue, state.value] = number
    known = queries.workers(connection)
    alive = [worker for worker in known if worker.alive]
    workers = {state.value: 0 for state in (WorkerState.UP, WorkerState.DRAINING)} | {"silent": 0}
    for worker in known:
        workers[worker.state.value if worker.alive else "silent"] += 1
    slots = sum(worker.slots for worker in alive)
    return Census(jobs, workers, slots, slots - sum(worker.free_slots for worker in alive))
