"""A job while nobody runs it: submitted, promoted once it has waited long enough, cancelled."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
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

from .. import attributes
from .. import tables as t
from ..given import among
from ..matching import Needs
from ..missing import no_job
from ..queries import database_time
from ..records import Job, NewJob, Outcome
from ..states import Reason, State
from ..tables import now
from . import twins
from .cancelling import request_cancel, stop_failing
from .closing import end
from .events import CANCEL_REQUESTED, SUBMITTED, add_event, add_events
from .order import joining_ranks, new_rank
from .retries import LONGEST_PAUSE_S
from .values import storable


def submit(connection: Connection, job: NewJob, share: Collection[str] = ()) -> int:
    """Insert a job, `queued` or (with a parent or a time to wait for) `waiting`; return its id.

    Args:
        connection: the transaction.
        job: what is submitted.
        share: identities of jobs that do the same. Where one has succeeded, the job has its
            result at once; where one is unfinished, it waits for that (see `twins`).

    Raises:
        UnknownJobError: a job that it waits for, or uses, does not exist.
    """
    hold(connection, leans_on(job))
    wanted = twins.Wanted(share, code_of(job), job.queue, job.priority, job.after)
    twin = twins.find(connection, wanted) if share else None
    rank = new_rank(connection, job.queue, job.priority, job.user)
    values = columns(job, rank, database_time(connection))
    if twin is not None:
        values |= {"twin_of": twin.root, "state": State.WAITING, "queued_at": None}
    job_id: Any = connection.scalar(insert(t.jobs).values(values).returning(t.jobs.c.id))
    for parent in set(job.after):
        connection.execute(insert(t.dependencies).values(job_id=job_id, parent_id=parent))
    asked = [*attributes.params_of(job.spec), *attributes.tags_of(job.tags)]
    attributes.add(connection, job_id, asked)
    attributes.add_inputs(connection, job_id, attributes.inputs_of(job.spec))
    add_event(connection, job_id, SUBMITTED, job.user)
    if twin is not None and not twin.is_done:
        twins.hurry(connection, twin.root, wanted._replace(own=job_id), job.user)
    elif twin is not None and not job.after and job.not_before is None:
        twins.share(connection, twin.id, [job_id], job.user)
    return int(job_id)


def code_of(job: NewJob) -> str | None:
    """The version of its kind's code where a job is submitted."""
    return (job.origin or {}).get("code")


def hold(connection: Connection, job_ids: Iterable[int | None]) -> None:
    """Refuse to lean on a job that there is not; those that there are stay until the commit.

    Raises:
        UnknownJobError: it does not exist, or was pruned meanwhile.
    """
    wanted = {job_id for job_id in job_ids if job_id is not None}
    if not wanted:
        return
    query = select(t.jobs.c.id).where(among(t.jobs.c.id, wanted)).order_by(t.jobs.c.id)
    there = connection.scalars(query.with_for_update(read=True, key_share=True)).all()
    if missing := wanted.difference(there):
        raise no_job(connection, min(missing))


def leans_on(job: NewJob) -> list[int | None]:
    """The jobs that must be there for one: it waits for them, uses their models, or is theirs."""
    models = (each.source_job for each in attributes.inputs_of(job.spec))
    return [*job.after, *models, job.twin_of, job.made_from]


def columns(job: NewJob, rank: int, at: datetime) -> dict[str, Any]:
    """The row of a job that is submitted.

    Args:
        job: what is submitted.
        rank: its turn, see `order.new_rank`.
        at: the database's time.
    """
    state = State.WAITING if job.after or job.not_before else State.QUEUED
    if job.error is not None:
        state = State.FAILED
    return {
        "kind": job.kind,
        "queue": job.queue,
        "priority": job.priority,
        "fair_rank": rank,
        "user": job.user,
        "name": job.name,
        "tags": job.tags,
        "spec": job.spec,
        "spec_hash": job.spec_hash,
        "needs": Needs.of(job).key,
        "device": job.device,
        "time_limit": job.time_limit,
        "soft_time_limit": job.soft_time_limit,
        "goals": job.declared,
        "batch": job.batch,
        "batch_key": job.batch_key,
        "sweep": job.sweep,
        "origin": job.origin,
        "identity": job.identity,
        "twin_of": job.twin_of,
        "made_from": job.made_from,
        "state": state,
        "reason": Reason.ERROR if state == State.FAILED else None,
        "error": storable(job.error),
        "attempt": 0,
        "max_attempts": job.max_attempts,
        "cancel_requested": False,
        "not_before": job.not_before,
        "metrics": {},
        "created_at": at,
        "queued_at": at if state == State.QUEUED else None,
        "finished_at": at if state == State.FAILED else None,
    }


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
        raise no_job(connection, job_id)
    job = Job.from_row(row)
    if job.state == State.RUNNING and row.expired:
        add_event(connection, job_id, CANCEL_REQUESTED, by)
        end(connection, job, Outcome(State.CANCELLED, reason=Reason.WORKER_LOST), by)
    elif not job.finished:
        request_cancel(connection, t.jobs.c.id == job_id, by)
    return Job.from_row(connection.execute(select(t.jobs).where(t.jobs.c.id == job_id)).one())


def cancel_all(connection: Connection, job_ids: Sequence[int], by: str) -> int:
    """Cancel the unfinished of many jobs; return how many these were."""
    return cancel_where(connection, among(t.jobs.c.id, job_ids), by)


def cancel_where(connection: Connection, which: ColumnElement[bool], by: str) -> int:
    """Cancel the unfinished of many jobs, in a few statements; return how many these were.

    Args:
        connection: the transaction.
        which: a condition on `jobs`.
        by: who cancels them.
    """
    lost = connection.execute(
        select(t.jobs)
        .where(which, t.in_state(State.RUNNING), t.jobs.c.lease_until < now())
        .order_by(t.jobs.c.id)
        .with_for_update()
    ).all()
    for row in lost:  # nobody is there who would see the flag
        job = Job.from_row(row)
        add_event(connection, job.id, CANCEL_REQUESTED, by)
        end(connection, job, Outcome(State.CANCELLED, reason=Reason.WORKER_LOST), by)
    return len(lost) + request_cancel(connection, which, by)


def promote(connection: Connection, by: str) -> int:
    """Queue the waiting jobs whose time has come and whose parents have succeeded.

    Children of a failed or cancelled job fail with reason `dependency-failed`; twins of a job that
    has ended share its result, or one of them runs. Returns how many
    jobs became `queued`.
    """
    parent = t.jobs.alias("parent")
    parents = t.dependencies.join(parent, parent.c.id == t.dependencies.c.parent_id)

    def has_parent(condition: ColumnElement[bool]) -> ColumnElement[bool]:
        return exists(
            select(1).select_from(parents).where(t.dependencies.c.job_id == t.jobs.c.id, condition)
        )

    batches: set[int | None] = set()
    while failed := connection.execute(
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
        .returning(t.jobs.c.id, t.jobs.c.batch)
    ).all():
        batches.update(row.batch for row in failed)
        add_events(
            connection, [row.id for row in failed], f"failed ({Reason.DEPENDENCY_FAILED})", by
        )
    may_go_on = and_(
        or_(
            t.jobs.c.not_before.is_(None),
            t.jobs.c.not_before <= now(),
            # Longer than any back-off: the clock was set back after the attempt.
            and_(t.jobs.c.attempt > 0, t.jobs.c.not_before > now(LONGEST_PAUSE_S)),
        ),
        ~has_parent(parent.c.state != State.SUCCEEDED),
    )
    twins.settle(connection, may_go_on, by)
    ready = connection.execute(
        select(
            t.jobs.c.id,
            t.jobs.c.queue,
            t.jobs.c.priority,
            t.jobs.c.user,
            t.jobs.c.attempt,
            t.jobs.c.fair_rank,
        )
        .where(t.in_state(State.WAITING), t.jobs.c.twin_of.is_(None), may_go_on)
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
    add_events(connection, [row.id for row in ready], State.QUEUED, by)
    stop_failing(connection, batches)
    return len(ready)
