"""The errors for numbers of which there is nothing: there never was, or it was pruned."""

from __future__ import annotations

from sqlalchemy import Connection, select

from . import tables as t
from .errors import (
    PrunedBatchError,
    PrunedJobError,
    PrunedSweepError,
    UnknownBatchError,
    UnknownJobError,
    UnknownSweepError,
)

JOB, BATCH, SWEEP = "job", "batch", "sweep"  # what `pruned` tells of


def no_job(connection: Connection, first: int, last: int | None = None) -> UnknownJobError:
    """The error for a number, or a range of them, of which there is no job."""
    last = first if last is None else last
    what = first if first == last else f"{first}-{last}"
    pruned = _pruned(connection, JOB, first, last)
    return UnknownJobError(what) if pruned is None else PrunedJobError(what, *pruned)


def no_batch(connection: Connection, number: int) -> UnknownBatchError:
    """The error for a number of which there is no batch."""
    pruned = _pruned(connection, BATCH, number, number)
    return UnknownBatchError(number) if pruned is None else PrunedBatchError(number, *pruned)


def no_sweep(connection: Connection, number: int) -> UnknownSweepError:
    """The error for a number of which there is no sweep."""
    pruned = _pruned(connection, SWEEP, number, number)
    return UnknownSweepError(number) if pruned is None else PrunedSweepError(number, *pruned)


def _pruned(connection: Connection, what: str, first: int, last: int) -> tuple[str, str] | None:
    """The day on which any of these was pruned, and by whom."""
    p = t.pruned.c
    found = connection.execute(
        select(p.last, p.at, p.by)
        .where(p.what == what, p.first <= last)
        .order_by(p.first.desc())
        .limit(1)
    ).one_or_none()
    if found is None or found.last < first:
        return None
    return found.at.astimezone().date().isoformat(), found.by
