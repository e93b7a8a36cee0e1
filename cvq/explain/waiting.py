"""Why a job waits: for other jobs, for its time, or between two attempts."""

from __future__ import annotations

from .. import checkpoints, queries
from ..states import State
from ..text import clock
from .causes import ended_with
from .diagnosis import Diagnosis, Snapshot
from .phrases import capital, named, start_worker, until


def diagnose(snapshot: Snapshot) -> Diagnosis:
    """Why a job waits."""
    diagnosis = (
        _parents(snapshot) or _twin(snapshot) or _next_attempt(snapshot) or _start(snapshot)
    )
    return Diagnosis(diagnosis.sentences, [*diagnosis.advice, *_promoter(snapshot)])


def _parents(snapshot: Snapshot) -> Diagnosis | None:
    """What keeps the jobs that it waits for, if it still does."""
    parents = queries.parents_of(snapshot.connection, snapshot.job.id)
    parents = [parent for parent in parents if parent.state != State.SUCCEEDED]
    if not parents:
        return None
    if failed := [parent for parent in parents if parent.finished]:
        said = f"It waits for {named(failed)}, which did not succeed: it fails, too, in a moment."
        return Diagnosis([said], [f"`cvq why {failed[0].id}` explains that one."])
    at = _not_before(snapshot)
    more = [f"It starts no sooner than {at}, in any case."] if at else []
    return Diagnosis(
        [f"It waits for {named(parents)} to succeed.", *more],
        [f"`cvq why {parents[0].id}` explains that one."],
    )


def _twin(snapshot: Snapshot) -> Diagnosis | None:
    """Which job does the same, if it waits for the result of that one."""
    if snapshot.job.twin_of is None or _not_before(snapshot):
        return None
    found = queries.get_jobs(snapshot.connection, [snapshot.job.twin_of])
    if not found or (found[0].finished and found[0].state != State.SUCCEEDED):
        gone = named(found) if found else f"job {snapshot.job.twin_of} (pruned)"
        return Diagnosis([f"It was to share the result of {gone}: it goes on in a moment."], [])
    again = f"`cvq rerun {snapshot.job.id}` computes the same anew."
    said = f"It does the same as {named(found)}, and waits for that one's result."
    return Diagnosis([said], [f"`cvq why {found[0].id}` explains that one.", again])


def _next_attempt(snapshot: Snapshot) -> Diagnosis | None:
    """When a job that was tried is tried again."""
    job, tried = snapshot.job, last_attempt(snapshot)
    if not tried:
        return None
    soon = "is queued in a moment"
    when = f"starts in {until(job.not_before, snapshot.now)}" if _not_before(snapshot) else soon
    said = f"Attempt {job.attempt + 1} of {job.max_attempts} {when}."
    logs = f"`cvq logs {job.id} --attempt {job.attempt} --tail 20` shows what it wrote."
    return Diagnosis([*tried, said], [logs])


def _start(snapshot: Snapshot) -> Diagnosis:
    """When a job may start that waits for its time alone."""
    if not (at := _not_before(snapshot)):
        return Diagnosis(["Nothing holds it any more: it is queued in a moment."], [])
    sooner = f"To have it sooner, `cvq cancel {snapshot.job.id}` and submit it without --at."
    return Diagnosis([f"It was submitted with --at and starts no sooner than {at}."], [sooner])


def _not_before(snapshot: Snapshot) -> str:
    """Before when a job does not start, and how long that is; empty once it may."""
    time = snapshot.job.not_before
    if time is None or time <= snapshot.now:
        return ""
    return f"{clock(time)}, in {until(time, snapshot.now)}"


def _promoter(snapshot: Snapshot) -> list[str]:
    """What to do where nobody is there who would move a waiting job on."""
    if any(worker.alive for worker in snapshot.workers):
        return []
    return [f"That takes a worker, and none is up: {start_worker(snapshot.job.queue)}"]


def last_attempt(snapshot: Snapshot) -> list[str]:
    """How the last attempt ended, and where the next goes on; nothing of a job without one."""
    if not snapshot.attempts:
        return []
    sentences = [f"{capital(ended_with(snapshot.attempts[-1]))}."]
    saved = queries.checkpoints_of(snapshot.connection, snapshot.job.id)
    steps = (checkpoints.step_of(checkpoint.name) for checkpoint in saved)
    if (newest := next((step for step in steps if step is not None), None)) is not None:
        sentences.append(f"The next goes on from its checkpoint after step {newest}.")
    return sentences
