"""What holds a job up, for whoever waits for it: nobody can run it, or all who can are busy."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from .. import queries
from ..matching import Candidates, Needs
from ..records import Job
from ..states import State
from .explanation import explain


class Holdup(NamedTuple):
    """Why a job does not begin, or go on.

    Attributes:
        nobody: no worker that is there will take it; else those that would are busy.
        text: what is the matter and what to do, as `cvq why` says it, in one line.
    """

    nobody: bool
    text: str


def holdup(connection: Connection, job: Job) -> Holdup | None:
    """What holds a job up; None where it runs, has ended, or begins in a moment.

    Args:
        connection: reads only.
        job: as it was read in this connection.
    """
    if job.state == State.QUEUED:
        workers = Candidates.of(job, queries.workers(connection))
        if workers.free or any(job.id in worker.running for worker in workers.known):
            return None
        return _explained(connection, job, nobody=not workers.able)
    if job.state == State.WAITING:
        for other in _one_of_each(queries.awaited_by(connection, job.id)):
            held = holdup(connection, other)
            if held is not None and held.nobody:
                return Holdup(True, f"It waits for job {other.id}. Of that one: {held.text}")
    elif job.state != State.RUNNING or not _is_lost(connection, job):
        return None
    # What has waited long enough, or lost its worker, goes on where any worker at all is up.
    if any(worker.alive for worker in queries.workers(connection)):
        return None
    return _explained(connection, job, nobody=True)


def _one_of_each(jobs: list[Job]) -> list[Job]:
    """Of queued jobs that the same workers can run, the first; and whatever is running."""
    first: dict[object, Job] = {}
    for job in jobs:
        alike = (job.queue, Needs.of(job).key) if job.state == State.QUEUED else job.id
        first.setdefault(alike, job)
    return list(first.values())


def _is_lost(connection: Connection, job: Job) -> bool:
    return job.lease_until is not None and job.lease_until <= queries.database_time(connection)


def _explained(connection: Connection, job: Job, *, nobody: bool) -> Holdup:
    explanation = explain(connection, job)
    return Holdup(nobody, " ".join([explanation.why, *explanation.advice]))
