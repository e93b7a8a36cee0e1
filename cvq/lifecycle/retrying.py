"""Jobs that have failed or were cancelled, queued again as the jobs that they are.

Their attempts count on, and what they have left for the next one (checkpoints, lines, figures)
stays. `retries.py` has what a job gets by itself; `again.py` makes a new job from an old one.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, case, or_, update

from .. import tables as t
from ..given import among
from ..records import Job
from ..states import Reason, State
from .events import add_events
from .jobs import promote

_MAY = (State.FAILED, State.CANCELLED)


def retry(connection: Connection, job_ids: Sequence[int], by: str) -> dict[int, str]:
    """Queue jobs again; return the ids of those that it did, with their queues.

    The others are left as they are: see `why_not`.
    """
    return _try_again(connection, and_(among(t.jobs.c.id, job_ids), t.in_state(*_MAY)), by)


def retry_batch(
    connection: Connection, batch_id: int, states: Sequence[str], by: str
) -> dict[int, str]:
    """The same of a batch's jobs in some states, so that each item keeps one job."""
    jobs = t.jobs.c
    return _try_again(connection, and_(jobs.batch == batch_id, jobs.state.in_(states)), by)


def was_refused(job: Job) -> bool:
    """Whether a job of a batch has failed at once, as its item could not be used."""
    return job.batch is not None and _never_began(job)


def why_not(job: Job) -> str | None:
    """Why a job cannot be tried again, in a line; None where it can."""
    if job.trashed_at is not None:
        return f"job {job.id} is in the trash: `cvq restore {job.id}` takes it out"
    if job.state == State.SUCCEEDED:
        return f"job {job.id} has succeeded: `cvq rerun {job.id}` runs it anew"
    if job.state not in _MAY:
        return f"job {job.id} is {job.state}: there is nothing to try again"
    if _never_began(job):
        return f"job {job.id} was refused when it was submitted: submit its item anew"
    return None


def _never_began(job: Job) -> bool:
    begun = job.attempt > 0 or job.reason == Reason.DEPENDENCY_FAILED
    return job.state == State.FAILED and not begun


def _try_again(connection: Connection, which: ColumnElement[bool], by: str) -> dict[int, str]:
    jobs = t.jobs.c
    again = or_(  # of what has ended, all but what `_never_began`
        jobs.attempt > 0,
        jobs.reason == Reason.DEPENDENCY_FAILED,
        jobs.state == State.CANCELLED,
    )
    values = {
        "state": State.WAITING,
        "reason": None,
        "error": None,
        "result": None,
        "progress": None,
        "cancel_requested": False,
        "not_before": None,
        "started_at": None,  # it waits from now on, and runs from when it begins
        "finished_at": None,
        "max_attempts": case(
            (jobs.attempt < jobs.max_attempts, jobs.max_attempts), else_=jobs.attempt + 1
        ),
    }
    rows = connection.execute(
        update(t.jobs)
        .where(which, again, jobs.trashed_at.is_(None))
        .values(values)
        .returning(jobs.id, jobs.queue)
    ).all()
    queues = {row.id: row.queue for row in sorted(rows)}
    add_events(connection, queues, "to be tried again", by)
    promote(connection, by)
    return queues
