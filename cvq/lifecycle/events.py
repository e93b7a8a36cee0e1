"""What happened to a job, in order: the lines of its history."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, insert

from .. import tables as t
from ..ids import AttemptId
from ..tables import now
from .values import fit

SUBMITTED, CANCEL_REQUESTED = "submitted", "cancel requested"


def add_event(connection: Connection, job_id: int, what: str, by: str) -> None:
    """Add an event to a job's history: what happened, and who did it."""
    add_events(connection, [job_id], what, by)


def add_attempt_events(
    connection: Connection, attempts: Iterable[AttemptId], what: str, by: str
) -> None:
    """Add the same event about an attempt to the histories of several jobs."""
    jobs: dict[int, list[int]] = {}
    for job_id, number in attempts:
        jobs.setdefault(number, []).append(job_id)
    for number, job_ids in jobs.items():
        add_events(connection, job_ids, f"attempt {number} {what}", by)


def add_events(connection: Connection, job_ids: Iterable[int], what: str, by: str) -> None:
    """Add the same event to the histories of several jobs."""
    text = fit(t.events, what=what, by=by)
    if rows := [{"job_id": job_id, **text} for job_id in job_ids]:
        connection.execute(insert(t.events).values(time=now()), rows)
