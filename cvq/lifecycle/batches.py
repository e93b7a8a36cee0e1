"""Jobs that are submitted together: entered and cancelled as one.

A batch appears as a whole or not at all: its row and all its jobs are one transaction, so that a
submission that dies leaves nothing behind and can be made again.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    and_,
    insert,
    literal,
    select,
)

from .. import attributes
from .. import tables as t
from ..batch import NewBatch
from ..errors import UsageError
from ..given import among
from ..queries import database_time
from ..records import NewJob
from ..states import Reason, State
from .alike import insert_alike
from .cancelling import stop_failing
from .events import SUBMITTED
from .jobs import cancel_where, columns, hold, leans_on
from .order import new_rank

_CHUNK = 2_000  # rows that are sent at a time


def submit(
    connection: Connection,
    batch: NewBatch,
    jobs: Sequence[NewJob],
    after: Iterable[int] = (),
    answered_by: Collection[int] = (),
) -> int:
    """Insert a batch with its jobs, in their order; return the batch's id.

    Its jobs have all in common but name, specification and error. They take turns with those of
    others as if each had been submitted by itself. There are none where all items are known.

    Args:
        connection: of one transaction.
        batch: what its jobs have in common.
        jobs: in order.
        after: what they wait for, where there are none to say it.
        answered_by: the batches that have answered items of it.

    Raises:
        UnknownJobError: a job that they wait for, or use, does not exist.
        UsageError: what has answered items of it was pruned meanwhile.
    """
    hold(connection, leans_on(jobs[0]) if jobs else after)
    _hold_batches(connection, answered_by)
    at = database_time(connection)
    entry = {name: getattr(batch, name) for name in NewBatch.__dataclass_fields__}
    batch_id = int(
        connection.execute(
            insert(t.batches)
            .values(**entry, jobs=len(jobs), created_at=at)
            .returning(t.batches.c.id)
        ).scalar_one()
    )
    if jobs:
        ids = _insert(connection, batch_id, jobs, at)
        _add_attributes(connection, ids, batch.spec, jobs)
        _enter(connection, batch_id, jobs[0], at)
        stop_failing(connection, [batch_id])
    return batch_id


def _hold_batches(connection: Connection, batch_ids: Collection[int]) -> None:
    """Refuse answers of a batch that is being pruned; the others stay until the commit."""
    if not batch_ids:
        return
    b = t.batches.c
    whole = select(b.id).where(among(b.id, batch_ids), b.manifest.is_not(None)).order_by(b.id)
    there = connection.scalars(whole.with_for_update(read=True, key_share=True)).all()
    if missing := set(batch_ids).difference(there):
        raise UsageError(
            f"batch {min(missing)}, which has answered items of this one, was pruned meanwhile: "
            "submit it again"
        )


def _insert(
    connection: Connection, batch_id: int, jobs: Sequence[NewJob], at: datetime
) -> list[int]:
    first = jobs[0]
    ranks = itertools.count(new_rank(connection, first.queue, first.priority, first.user))
    # What is refused takes no turn.
    return insert_alike(
        connection,
        (
            columns(job, 0 if job.error is not None else next(ranks), at) | {"batch": batch_id}
            for job in jobs
        ),
    )


def _add_attributes(
    connection: Connection, ids: Sequence[int], spec: Mapping[str, Any], jobs: Sequence[NewJob]
) -> None:
    first = jobs[0]
    common = {name: value for name, value in spec.items() if first.spec.get(name) == value}
    for start in range(0, len(jobs), _CHUNK):
        chunk = jobs[start : start + _CHUNK]
        specs = [job.spec if isinstance(job.spec, dict) else {} for job in chunk]
        attributes.add_of_many(connection, ids[start : start + _CHUNK], specs, common, first.tags)


def _enter(connection: Connection, batch_id: int, first: NewJob, at: Any) -> None:
    """Write down what the jobs of a batch wait for, and that they were submitted."""
    jobs = t.jobs.c
    of_batch = jobs.batch == batch_id
    for parent in set(first.after):
        waiting = select(jobs.id, literal(parent)).where(of_batch, t.in_state(State.WAITING))
        connection.execute(insert(t.dependencies).from_select(["job_id", "parent_id"], waiting))
    events = ["job_id", "time", "what", "by"]
    for what, which in (
        (SUBMITTED, of_batch),
        (f"failed ({Reason.ERROR})", and_(of_batch, t.in_state(State.FAILED))),
    ):
        row = select(jobs.id, literal(at, t.UtcDateTime), literal(what), literal(first.user))
        connection.execute(
            insert(t.events).from_select(events, row.where(which).order_by(jobs.id))
        )


def cancel(connection: Connection, batch_id: int, by: str) -> int:
    """Cancel what is unfinished of a batch; return how many jobs that were."""
    return cancel_where(connection, t.jobs.c.batch == batch_id, by)
