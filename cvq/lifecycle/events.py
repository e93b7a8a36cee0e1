"""What happened to a job, in order: the lines of its history."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, insert

from .. import tables as t
from ..tables import now
from .values import fit

SUBMITTED, CANCEL_REQUESTED = "submitted", "cancel requested"


def add_event(connection: Connection, job_id: int, what: str, by: str) -> None:
    """Add an event to a job's history: what happened, and who did it."""
    add_events(connection, [job_id], what, by)


def add_events(connection: Connection, job_ids: Iterable[int], what: str, by: str) -> None:
    """Add the same event to the histories of several jobs."""
    text = fit(t.events, what=what, by=by)
    if rows := [{"job_id": job_id, **text} for job_id in job_ids]:
        connection.execute(insert(t.events).values(time=now()), rows)
