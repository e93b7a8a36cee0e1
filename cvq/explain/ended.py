"""How a job has ended: with what, by whom, or because of which other job."""

from __future__ import annotations

from sqlalchemy import Connection

from .. import queries
from ..lifecycle.events import PRUNED
from ..lifecycle.retrying import was_refused
from ..records import Job
from ..results import results_of
from ..states import Reason, State
from ..text import duration, join, one_line
from . import causes
from .diagnosis import Diagnosis, Snapshot
from .phrases import capital


def diagnose_success(snapshot: Snapshot) -> Diagnosis:
    """How a job succeeded."""
    connection, job = snapshot.connection, snapshot.job
    attempts = snapshot.attempts
    if job.twin_of is not None:
        return Diagnosis(
            [f"It does the same as job {job.twin_of}, and has the result of that one."],
            [f"`cvq rerun {job.id}` computes it anew, and --verify compares."],
        )
    if not attempts:
        return Diagnosis(["It succeeded."], [f"`cvq show {job.id}` tells all about it."])
    *earlier, last = attempts
    took = duration(job.seconds(snapshot.now))
    said = [f"It succeeded in {took}, at attempt {last.number}." if earlier else
            f"It succeeded in {took}, at the first attempt."]  # fmt: skip
    if earlier:
        said.append(f"{capital(join([causes.ended_with(attempt) for attempt in earlier]))}.")
    said += [f"It warns: {warning.rstrip('.')}." for warning in job.warnings]
    files = results_of(queries.artifacts_of(connection, [job.id])[job.id])
    word = "get" if files else "show"
    what = "copies its files here" if files else "tells all about it"
    return Diagnosis(said, [f"`cvq {word} {job.id}` {what}."])


def diagnose_failure(snapshot: Snapshot) -> Diagnosis:
    """Why a job failed."""
    connection, job = snapshot.connection, snapshot.job
    if was_refused(job):
        refused = (
            f"It was refused when batch {job.batch} was submitted: {one_line(job.error or '')}"
        )
        return Diagnosis([f"{refused.rstrip('.')}."], ["Mend its item, and submit that again."])
    if job.reason != Reason.DEPENDENCY_FAILED:
        return causes.cause(job, snapshot.attempts)
    parent = _culprit(connection, job)
    if parent is None:
        return Diagnosis(["A job that it waited for did not succeed."], [])
    again = "was cancelled" if parent.state == State.CANCELLED else f"failed ({parent.reason})"
    return Diagnosis(
        [f"It never started: job {parent.id}, which it waited for, {again}."],
        [
            f"`cvq why {parent.id}` explains that one.",
            f"Submit job {parent.id} again, and then this one with the new job's number.",
        ],
    )


def _culprit(connection: Connection, job: Job) -> Job | None:
    """The job at the head of a chain of jobs that failed because of one another."""
    found = None
    while job.reason == Reason.DEPENDENCY_FAILED:
        parents = queries.parents_of(connection, job.id)
        ended = [parent for parent in parents if parent.state in (State.FAILED, State.CANCELLED)]
        if not ended:
            break
        # The one that failed by itself says most.
        found = job = min(ended, key=lambda parent: parent.reason == Reason.DEPENDENCY_FAILED)
    return found


def diagnose_cancellation(snapshot: Snapshot) -> Diagnosis:
    """Who cancelled a job, and when."""
    request = snapshot.cancel_request
    if snapshot.job.reason == Reason.PRUNED:
        return _diagnose_pruning(snapshot)
    again = f"`cvq show {snapshot.job.id}` has its values, to submit it again."
    if request is None:
        return Diagnosis(["It was cancelled."], [again])
    ago = duration((snapshot.now - request.time).total_seconds())
    when = "before it had started"
    if attempts := snapshot.attempts:
        last = attempts[-1]
        during = last.finished_at is None or last.finished_at >= request.time
        when = f"{'during' if during else 'after'} attempt {last.number}"
    return Diagnosis([f"{request.by} cancelled it {ago} ago, {when}."], [again])


def _diagnose_pruning(snapshot: Snapshot) -> Diagnosis:
    """Why a trial was not worth its time."""
    job = snapshot.job
    why = [event for event in snapshot.events if event.what.startswith(PRUNED)]
    said = f"Sweep {job.sweep} stopped it, as it was worse than half of the other trials"
    if why:
        said += f": {why[-1].what.removeprefix(PRUNED).strip()}"
    return Diagnosis([f"{said}."], [f"`cvq sweep show {job.sweep}` ranks them."])
