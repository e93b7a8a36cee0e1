"""A job while nobody runs it: submitted, promoted once it has waited long enough, cancelled."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    exists,
    insert,
    or_,
    select,
    update,
)

from .. import tables as t
from ..errors import UnknownJobError
from ..matching import Needs
from ..records import Job, NewJob, Outcome
from ..states import Reason, State
from ..tables import now
from . import attempts
from .events import CANCEL_REQUESTED, add_event
from .order import joining_ranks, new_rank
from .retries import LONGEST_PAUSE_S


def submit(connection: Connection, job: NewJob) -> int:
    """Insert a job, `queued` or (with a parent or a time to wait for) `waiting`; return its id.

    Raises:
        UnknownJobError: a parent does not exist.
    """
    for parent in job.after:
        if not connection.scalar(select(exists().where(t.jobs.c.id == parent))):
            raise UnknownJobError(parent)
    state = State.WAITING if job.after or job.not_before else State.QUEUED
    job_id: Any = connection.scalar(
        insert(t.jobs)
        .values(
            kind=job.kind,
            queue=job.queue,
            priority=job.priority,
            fair_rank=new_rank(connection, job.queue, job.priority, job.user),
            user=job.user,
            name=job.name,
            tags=job.tags,
            spec=job.spec,
            spec_hash=job.spec_hash,
            needs=Needs.of(job).key,
            device=job.device,
            time_limit=job.time_limit,
            soft_time_limit=job.soft_time_limit,
            goals=job.declared,
            batch=job.batch,
            batch_key=job.batch_key,
            state=state,
            attempt=0,
            max_attempts=job.max_attempts,
            cancel_requested=False,
            not_before=job.not_before,
            metrics={},
            created_at=now(),
            queued_at=now() if state == State.QUEUED else None,
        )
        .returning(t.jobs.c.id)
    )
    for parent in set(job.after):
        connection.execute(insert(t.dependencies).values(job_id=job_id, parent_id=parent))
    add_event(connection, job_id, "submitted", job.user)
    return int(job_id)


def cancel(connection: Connection, job_id: int, by: str) -> Job:
    """Cancel a job: at once where nobody runs it, else by a flag that its worker sees.

    Returns the job as it is afterwards; a finished job is left as it is.

    Raises:
        UnknownJobError: there is no such job.
    """
    row = connection.execute(
        select(t.jobs, (t.jobs.c.lease_until < now()).label("expired"))
        .where(t.jobs.c.id == job_id)
        .with_for_update()
    ).one_or_none()
    if row is None:
        raise UnknownJobError(job_id)
    job = Job.from_row(row)
    if job.finished:
        return job
    add_event(connection, job_id, CANCEL_REQUESTED, by)
    if job.state == State.RUNNING and row.expired:
        attempts.end(connection, job, Outcome(State.CANCELLED, reason=Reason.WORKER_LOST), by)
    elif job.state == State.RUNNING:
        connection.execute(
            update(t.jobs).where(t.jobs.c.id == job_id).values(cancel_requested=True)
        )
    else:
        connection.execute(
            update(t.jobs)
            .where(t.jobs.c.id == job_id)
            .values(state=State.CANCELLED, cancel_requested=True, finished_at=now())
        )
        add_event(connection, job_id, State.CANCELLED, by)
    return Job.from_row(connection.execute(select(t.jobs).where(t.jobs.c.id == job_id)).one())


def promote(connection: Connection, by: str) -> int:
    """Queue the waiting jobs whose time has come and whose parents have succeeded.

    Children of a failed or cancelled job fail with reason `dependency-failed`. Returns how many
    jobs became `queued`.
    """
    parent = t.jobs.alias("parent")
    parents = t.dependencies.join(parent, parent.c.id == t.dependencies.c.parent_id)

    def has_parent(condition: ColumnElement[bool]) -> ColumnElement[bool]:
        return exists(
            select(1).select_from(parents).where(t.dependencies.c.job_id == t.jobs.c.id, condition)
        )

    while failed := connection.scalars(
        update(t.jobs)
        .where(
            t.in_state(State.WAITING),
            has_parent(parent.c.state.in_((State.FAILED, State.CANCELLED))),
        )
        .values(
            state=State.FAILED,
            reason=Reason.DEPENDENCY_FAILED,
            error="a job that this one waited for did not succeed",
            finished_at=now(),
        )
        .returning(t.jobs.c.id)
    ).all():
        for job_id in failed:
            add_event(connection, job_id, f"failed ({Reason.DEPENDENCY_FAILED})", by)
    ready = connection.execute(
        select(
            t.jobs.c.id,
            t.jobs.c.queue,
            t.jobs.c.priority,
            t.jobs.c.user,
            t.jobs.c.attempt,
            t.jobs.c.fair_rank,
        )
        .where(
            t.in_state(State.WAITING),
            or_(
                t.jobs.c.not_before.is_(None),
                t.jobs.c.not_before <= now(),
                # Longer than any back-off: the clock was set back after the attempt.
                and_(t.jobs.c.attempt > 0, t.jobs.c.not_before > now(LONGEST_PAUSE_S)),
            ),
            ~has_parent(parent.c.state != State.SUCCEEDED),
        )
        .order_by(t.jobs.c.id)
        .with_for_update(of=t.jobs, skip_locked=True)
    ).all()
    if ready:
        connection.execute(
            update(t.jobs)
            .where(t.jobs.c.id == bindparam("ready"))
            .values(state=State.QUEUED, queued_at=now(), fair_rank=bindparam("rank")),
            joining_ranks(connection, ready),
        )
    for row in ready:
        add_event(connection, row.id, State.QUEUED, by)
    return len(ready)
