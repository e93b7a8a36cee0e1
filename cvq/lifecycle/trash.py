"""The trash: jobs that have ended are laid there, hidden from lists, until somebody prunes."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, update

from .. import tables as t
from ..given import among
from ..states import FINAL
from ..tables import now
from .events import add_events

TRASHED, RESTORED = "laid in the trash", "taken out of the trash"


def trash(connection: Connection, job_ids: Collection[int], by: str) -> list[int]:
    """Lay jobs that have ended in the trash; return those that were not there yet."""
    may = t.jobs.c.trashed_at.is_(None) & t.in_state(*FINAL)
    return _mark(connection, job_ids, may, now(), TRASHED, by)


def restore(connection: Connection, job_ids: Collection[int], by: str) -> list[int]:
    """Take jobs out of the trash; return those that were there."""
    return _mark(connection, job_ids, t.jobs.c.trashed_at.is_not(None), None, RESTORED, by)


def _mark(
    connection: Connection,
    job_ids: Collection[int],
    which: ColumnElement[bool],
    at: now | None,
    what: str,
    by: str,
) -> list[int]:
    marked = update(t.jobs).where(among(t.jobs.c.id, job_ids), which).values(trashed_at=at)
    ids = sorted(connection.scalars(marked.returning(t.jobs.c.id)))
    add_events(connection, ids, what, by)
    return ids
