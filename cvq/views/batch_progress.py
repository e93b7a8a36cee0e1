"""How far a batch is."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, select

from .. import tables as t
from ..batch import Batch
from ..lifecycle.cancelling import failed_within
from ..states import State


class Progress(NamedTuple):
    """How far a batch is, besides the states of its jobs.

    Attributes:
        share: done, from 0 to 1; jobs with shards count by their own progress.
        failed: how many items have no answer, of jobs with shards that have succeeded.
    """

    share: float
    failed: int = 0


def progress_of(connection: Connection, batch: Batch) -> Progress:
    """How far a batch is that was just read."""
    if batch.new <= batch.jobs:
        return Progress(batch.done / max(1, batch.jobs))  # it has none where all is known
    of_batch = t.jobs.c.batch == batch.id
    running = select(t.jobs.c.progress).where(of_batch, t.in_state(State.RUNNING))
    done = batch.done + sum(map(_share, connection.scalars(running)))
    return Progress(min(1.0, done / batch.jobs), int(failed_within(connection, of_batch)))


def _share(progress: object) -> float:
    """Of one job; what is no progress is none."""
    at = progress if isinstance(progress, dict) else {}
    done, total = at.get("done"), at.get("total")
    if not (isinstance(done, int | float) and isinstance(total, int | float) and total > 0):
        return 0.0
    return min(1.0, max(0.0, done / total))
