"""Jobs that are cancelled: by a person, or because too many of their batch have failed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select, update

from .. import tables as t
from ..given import among
from ..row_names import FAILED
from ..states import State
from ..tables import now
from .events import CANCEL_REQUESTED, add_events


def request_cancel(
    connection: Connection, which: ColumnElement[bool], by: str, *, skip_locked: bool = False
) -> int:
    """Cancel unfinished jobs: at once what nobody runs, else by a flag that the worker sees.

    Args:
        connection: the transaction.
        which: a condition on `jobs`.
        by: who cancels them.
        skip_locked: pass over jobs that others are changing at this moment, instead of waiting.

    Returns:
        how many they were.
    """
    unfinished = t.in_state(State.WAITING, State.QUEUED, State.RUNNING)
    # Locked first: a job that goes back to its queue between two updates would escape both.
    rows = connection.execute(
        select(t.jobs.c.id, t.jobs.c.state)
        .where(which, unfinished)
        .order_by(t.jobs.c.id)
        .with_for_update(skip_locked=skip_locked)
    ).all()
    running = [row.id for row in rows if row.state == State.RUNNING]
    idle = [row.id for row in rows if row.state != State.RUNNING]
    add_events(connection, [row.id for row in rows], CANCEL_REQUESTED, by)
    _change(connection, running, cancel_requested=True)
    _change(
        connection, idle, state=State.CANCELLED, cancel_requested=True, finished_at=now()
    )  # fmt: skip
    add_events(connection, idle, State.CANCELLED, by)
    return len(rows)


def stop_failing(connection: Connection, batches: Iterable[int | None]) -> None:
    """Cancel what is left of batches of which as many items have failed as may.

    To be called once in a transaction, at its end, with the batches of jobs that have failed, or
    in which an item has: it locks their rows, in order, so that of several failures at a time
    each sees those before it.
    """
    known = {batch for batch in batches if batch is not None}
    if not known:
        return
    b = t.batches.c
    several = (b["items"] - b.known > b.jobs).label("several")
    limited = connection.execute(
        select(b.id, b.max_fails, several)
        .where(among(b.id, known), b.max_fails.is_not(None))
        .order_by(b.id)
        .with_for_update()
    ).all()
    for batch, most, has_several in limited:
        of_batch = t.jobs.c.batch == batch
        failed = _failed(connection, of_batch, most)
        if has_several:  # in a job; else there is nothing to add up, of as many jobs as items
            failed += failed_within(connection, of_batch)
        if failed >= most:
            # Whoever holds one of them may be waiting for the row of this batch.
            request_cancel(
                connection, of_batch, f"the failures of batch {batch}", skip_locked=True
            )


def _failed(connection: Connection, of_batch: ColumnElement[bool], most: int) -> float:
    """How many jobs of a batch have failed, `most` at most."""
    jobs = select(t.jobs.c.id).where(of_batch, t.in_state(State.FAILED)).limit(most)
    return float(connection.scalar(select(func.count()).select_from(jobs.subquery())) or 0)


def failed_within(connection: Connection, which: ColumnElement[bool]) -> float:
    """How many items of jobs that have succeeded have no answer.

    To be asked of a batch with more items than jobs: the answer to one item may have any number.
    """
    within = (
        select(func.sum(t.summaries.c.value))
        .join(t.jobs, t.jobs.c.id == t.summaries.c.job_id)
        .where(
            which,
            t.in_state(State.SUCCEEDED),
            t.summaries.c.name == FAILED,
            t.summaries.c.source == "result",
        )
    )
    return float(connection.scalar(within) or 0)


def _change(connection: Connection, job_ids: list[int], **values: Any) -> None:
    if job_ids:
        connection.execute(update(t.jobs).where(among(t.jobs.c.id, job_ids)).values(**values))
