"""What happened to a job, in order: the lines of its history."""

from __future__ import annotations

from sqlalchemy import Connection, insert

from .. import tables as t
from ..tables import now
from .values import fit

CANCEL_REQUESTED = "cancel requested"


def add_event(connection: Connection, job_id: int, what: str, by: str) -> None:
    """Add an event to a job's history: what happened, and who did it."""
    text = fit(t.events, what=what, by=by)
    connection.execute(insert(t.events).values(job_id=job_id, time=now(), **text))
