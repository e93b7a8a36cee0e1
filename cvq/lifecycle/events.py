"""What happened to a job, in order: the lines of its history."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, Connection, Text, cast, insert, literal, select

from .. import tables as t
from ..tables import now
from .values import fit

SUBMITTED, CANCEL_REQUESTED = "submitted", "cancel requested"
PRUNED = "pruned:"  # and why


def add_event(connection: Connection, job_id: int, what: str, by: str) -> None:
    """Add an event to a job's history: what happened, and who did it."""
    add_events(connection, [job_id], what, by)


def add_attempt_events(
    connection: Connection, which: ColumnElement[bool], what: str, by: str
) -> None:
    """Add the same event about the current attempt of each of some jobs to their histories."""
    jobs = t.jobs.c
    said = literal("attempt ") + cast(jobs.attempt, Text) + literal(f" {what}")
    who = literal(fit(t.events, by=by)["by"])
    rows = select(jobs.id, now(), said, who).where(which).order_by(jobs.id)
    connection.execute(insert(t.events).from_select(["job_id", "time", "what", "by"], rows))


def add_events(connection: Connection, job_ids: Iterable[int], what: str, by: str) -> None:
    """Add the same event to the histories of several jobs."""
    text = fit(t.events, what=what, by=by)
    if rows := [{"job_id": job_id, **text} for job_id in job_ids]:
        connection.execute(insert(t.events).values(time=now()), rows)
