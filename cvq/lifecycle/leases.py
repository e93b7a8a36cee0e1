"""Leases: an attempt is a worker's for as long as it prolongs its lease, and nobody else's.

Whatever a worker writes about a job is fenced: it is refused once that attempt is not the running
one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select, update

from .. import tables as t
from ..errors import LeaseLostError
from ..given import among
from ..ids import AttemptId
from ..records import Job
from ..states import State
from ..tables import now


def renew(
    connection: Connection, worker: str, lease: float, attempts: Iterable[AttemptId]
) -> dict[AttemptId, bool]:
    """Prolong this worker's leases by `lease` seconds; return the attempts, with cancel flags.

    A job whose row is locked just now is passed over, and holds up no other: `still_held` tells it
    from one that is lost. While it is locked nobody else can take it.
    """
    wanted = set(attempts)
    if not wanted:
        return {}
    free = (
        select(t.jobs.c.id)
        .where(
            among(t.jobs.c.id, (attempt.job_id for attempt in wanted)),
            t.jobs.c.lease_owner == worker,
            t.jobs.c.state == State.RUNNING,
        )
        .with_for_update(skip_locked=True, key_share=True)
    )
    rows = connection.execute(
        update(t.jobs)
        .where(t.jobs.c.id.in_(free))
        .values(lease_until=now(lease))
        .returning(t.jobs.c.id, t.jobs.c.attempt, t.jobs.c.cancel_requested)
    ).all()
    found = {AttemptId(row.id, row.attempt): bool(row.cancel_requested) for row in rows}
    return {attempt: flag for attempt, flag in found.items() if attempt in wanted}


def still_held(
    connection: Connection, worker: str, attempts: Collection[AttemptId]
) -> set[AttemptId]:
    """Which of these attempts are this worker's, whether their rows are locked or not."""
    if not attempts:
        return set()
    rows = connection.execute(
        select(t.jobs.c.id, t.jobs.c.attempt).where(
            among(t.jobs.c.id, (attempt.job_id for attempt in attempts)),
            t.jobs.c.lease_owner == worker,
            t.jobs.c.state == State.RUNNING,
        )
    ).all()
    return {AttemptId(row.id, row.attempt) for row in rows} & set(attempts)


def fence(connection: Connection, attempt: AttemptId) -> Job:
    """Lock the job's row and refuse whoever does not hold it."""
    rows = lock(connection, [attempt], t.jobs)
    if not rows:
        raise LeaseLostError(*attempt)
    return Job.from_row(rows[0])


def lock(
    connection: Connection, attempts: Collection[AttemptId], *columns: Any
) -> Sequence[Row[Any]]:
    """Lock the rows of the jobs whose running attempt is one of these; leave the others out.

    Args:
        connection: the transaction that holds them.
        attempts: the attempts.
        columns: of `jobs`, what is read of each; `id` and `attempt` among them.
    """
    wanted = set(attempts)
    if not wanted:
        return []
    rows = connection.execute(
        select(*columns)
        .where(
            among(t.jobs.c.id, (attempt.job_id for attempt in wanted)),
            t.jobs.c.state == State.RUNNING,
        )
        .order_by(t.jobs.c.id)  # whoever locks several does so in one order
        .with_for_update()
    ).all()
    return [row for row in rows if AttemptId(row.id, row.attempt) in wanted]
