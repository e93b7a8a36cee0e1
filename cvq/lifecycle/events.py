"""What happened to a job, in order: the lines of its history."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert

from .. import tables as t
from ..tables import now
from .values import fit

CANCEL_REQUESTED = "cancel requested"


def add_event(connection: Connection, job_id: int, what: str, by: str) -> None:
    """Add an event to a job's history: what happened, and who did it."""
    add_events(connection, [(job_id, what)], by)


def add_events(connection: Connection, happened: Sequence[tuple[int, str]], by: str) -> None:
    """Add an event to the history of each job: what happened, and who did it."""
    if not happened:
        return
    connection.execute(
        insert(t.events).values(time=now()),
        [{"job_id": job_id, **fit(t.events, what=what, by=by)} for job_id, what in happened],
    )
