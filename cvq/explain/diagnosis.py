"""Why a job waits, runs long or failed, and what to do: read from the database, in sentences."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row

from .. import queries
from ..lifecycle import order
from ..matching import Candidates, Needs, misfit_of_all
from ..records import Artifact, Job, Worker
from ..results import results_of
from ..states import Drain, State, WorkerState
from ..text import (
    clock,
    count,
    duration,
    join,
)
from ..views import filters
from . import causes
from .causes import Told

_SOON_S = 10.0  # a queued job that waits longer beside a free slot is worth a look
_SILENT_S = 5.0  # a worker is heard of twice a second
_QUIET_S = 120.0  # a job that writes nothing for so long is worth a look
_MOST_WORKERS = 3  # that an explanation names each
_FEWEST, _LONGER = 3, 1.5  # how many jobs tell what is usual, and what is longer than that


@dataclass(frozen=True)
class Explanation:
    """Why a job is as it is, in a few sentences; and what to do, each in a line."""

    job_id: int
    state: str
    why: str
    advice: tuple[str, ...]


class _Seen(NamedTuple):
    """What an explanation is made from: a job at a moment of the database's clock."""

    connection: Connection
    job: Job
    now: datetime
    redis: str | None


def explain(connection: Connection, job: Job, *, redis: str | None = None) -> Explanation:
    """Explain a job.

    Args:
        connection: reads only.
        job: as it was read in this connection.
        redis: what is wrong with Redis, where the caller has asked.
    """
    tell = _BY_STATE.get(job.state, _odd)
    said, advice = tell(_Seen(connection, job, queries.database_time(connection), redis))
    if job.damage:
        said.append(f"Its row in the database is damaged: {'; '.join(job.damage.values())}.")
    return Explanation(job.id, job.state, " ".join(said), tuple(advice))


# ---------------------------------------------------------------------------- waiting


def _waiting(seen: _Seen) -> Told:
    connection, job, now, _ = seen
    parents = [p for p in queries.parents_of(connection, job.id) if p.state != State.SUCCEEDED]
    if ended := [parent for parent in parents if parent.finished]:
        said = f"It waits for {_named(ended)}, which did not succeed: it fails, too, in a moment."
        return Told([said], [f"`cvq why {ended[0].id}` explains that one.", *_helper(seen)])
    ahead = job.not_before is not None and job.not_before > now
    at = f"{clock(job.not_before)}, in {_until(job.not_before, now)}" if ahead else ""
    if parents:
        said = f"It waits for {_named(parents)} to succeed."
        more = [f"It starts no sooner than {at}, in any case."] if at else []
        look = f"`cvq why {parents[0].id}` explains that one."
        return Told([said, *more], [look, *_helper(seen)])
    tried = _tried(seen)
    if tried:
        when = f"starts in {_until(job.not_before, now)}" if at else "is queued in a moment"
        said = f"Attempt {job.attempt + 1} of {job.max_attempts} {when}."
        logs = f"`cvq logs {job.id} --attempt {job.attempt} --tail 20` shows what it wrote."
        return Told([*tried, said], [logs, *_helper(seen)])
    if at:
        sooner = f"To have it sooner, `cvq cancel {job.id}` and submit it without --at."
        said = f"It was submitted with --at and starts no sooner than {at}."
        return Told([said], [sooner, *_helper(seen)])
    return Told(["Nothing holds it any more: it is queued in a moment."], _helper(seen))


def _helper(seen: _Seen) -> list[str]:
    """What to do where nobody is there who would move a waiting job on."""
    if any(worker.alive for worker in queries.workers(seen.connection)):
        return []
    return [f"That takes a worker, and none is up: {_start(seen.job.queue)}"]


def _tried(seen: _Seen) -> list[str]:
    """How the last attempt ended, and where the next goes on."""
    attempts = queries.attempts_of(seen.connection, seen.job.id)
    if not attempts:
        return []
    said = [f"{_capital(causes.ended_with(attempts[-1]))}."]
    step = _step_of(queries.checkpoints_of(seen.connection, seen.job.id))
    if step is not None:
        said.append(f"The next goes on from its checkpoint after step {step}.")
    return said


def _step_of(checkpoints: Iterable[Artifact]) -> int | None:
    """The step of the newest checkpoint, from its name."""
    for checkpoint in checkpoints:
        if match := re.match(r"checkpoint-(\d+)\.", checkpoint.name):
            return int(match[1])
    return None


# ---------------------------------------------------------------------------- queued


def _queued(seen: _Seen) -> Told:
    job = seen.job
    found = Candidates.of(job, queries.workers(seen.connection))
    if not found.alive:
        told = _unserved(job, found.known)
    elif not found.taking:
        who = _ids(found.alive)
        leaving = f"Every worker of the queue '{job.queue}' is about to leave: {who}."
        told = Told([leaving], [_start(job.queue)])
    elif not found.able:
        told = _unfit(job, Needs.of(job), found.taking)
    else:
        told = _next(seen, found.free) if found.free else _busy(seen, found.able)
    return Told(_tried(seen) + told.said, told.advice)


def _unfit(job: Job, needs: Needs, taking: list[Worker]) -> Told:
    """Why none of the workers that serve its queue can run a job."""
    if job.device == "gpu" and not any(worker.has_gpu for worker in taking):
        none = f"no live worker of the queue '{job.queue}' has one: {_ids(taking)}"
        other = f"Or `cvq cancel {job.id}`, and submit it again without --gpu."
        return Told([f"It asks for a GPU, and {none}."], [_start(job.queue, gpu=True), other])
    said = [f"No live worker of the queue '{job.queue}' can run it."]
    advice = []
    for worker in taking[:_MOST_WORKERS]:
        if no := misfit_of_all(needs, worker.offers):
            said.append(f"{worker.id} {no.why}.")
            advice.append(f"For {worker.id}: {no.advice}.")
    if len(taking) > _MOST_WORKERS:
        said.append(f"So it is with {len(taking) - _MOST_WORKERS} more.")
    restart = "A worker is restarted by `cvq drain WORKER`, and `cvq up -d` on its machine."
    return Told(said, [*advice, restart])


def _unserved(job: Job, silent: list[Worker]) -> Told:
    said = [f"No live worker serves the queue '{job.queue}'."]
    if silent:
        verb = "has fallen" if len(silent) == 1 else "have fallen"
        said.append(f"{_ids(silent)} {verb} silent.")
    return Told(said, [_start(job.queue)])


def _next(seen: _Seen, free: list[Worker]) -> Told:
    connection, job, now, redis = seen
    ahead = order.ahead_of(connection, job)
    room = sum(worker.free_slots for worker in free)
    turn = "it" if ahead < room else f"{_jobs(ahead)} before it, the first of which"
    said = [f"A slot is free on {_ids(free)}: {turn} should start within two seconds."]
    if redis:
        said.append(f"Without Redis a worker finds it some seconds later: {redis}.")
    since = max(job.queued_at or now, max(worker.started_at for worker in free))
    waited = (now - since).total_seconds()
    if waited < _SOON_S:
        return Told(said, [])
    said.append(f"It has been queued for {duration(waited)} already.")
    return Told(said, ["If it still does not start, `cvq doctor` looks for what is wrong."])


def _busy(seen: _Seen, able: list[Worker]) -> Told:
    connection, job, _, _ = seen
    running = [job_id for worker in able for job_id in worker.running]
    slots = sum(worker.slots for worker in able)
    ahead = order.ahead_of(connection, job)
    all_of = f"All {slots} slots" if slots > 1 else "The only slot"
    verb, jobs = ("are", "jobs") if slots > 1 else ("is", "job")
    before = f", and {_jobs(ahead)} before it" if ahead else ""
    busy = f"{verb} busy with {jobs} {join(running)}{before}"
    said = [f"{all_of} of the queue '{job.queue}' {busy}."]
    found = filters.find(connection, filters.Filter(ids=running)) if running else []
    etas = [(eta, j.id) for j in found if (eta := (j.progress or {}).get("eta_s")) is not None]
    if etas:
        said.append(f"Job {min(etas)[1]} should be done in about {duration(min(etas)[0])}.")
    advice = ["`cvq up -d --workers N` starts more workers, on a machine that has room for them."]
    if ahead and job.priority < 9:
        advice.append(f"Jobs with a higher --priority go first; this one has {job.priority}.")
    return Told(said, advice)


def _start(queue: str, *, gpu: bool = False) -> str:
    """How a worker of a queue is started."""
    where = " on a machine with a GPU" if gpu or queue == "gpu" else ""
    if queue.startswith("host."):
        where = f" on {queue.removeprefix('host.')}"
    elif queue not in ("default", "gpu"):
        return f"`cvq worker --queues {shlex.quote(queue)}`{where} starts one."
    return f"`cvq up -d`{where} starts one."


# ---------------------------------------------------------------------------- running


def _running(seen: _Seen) -> Told:
    job, now = seen.job, seen.now
    ran = job.seconds(now) or 0.0
    attempts = queries.attempts_of(seen.connection, job.id)
    if not attempts:
        noted = f"It has been running for {duration(ran)}, with no attempt noted."
        return Told([noted], [f"If it hangs, `cvq cancel {job.id}` stops it."])
    [*earlier, attempt] = attempts
    where = f"{attempt.host} ({attempt.device})" if attempt.device else attempt.host
    said = [f"It has been running on {where} for {duration(ran)}."]
    if earlier:
        tries = f"attempt {job.attempt} of {job.max_attempts}"
        said.append(f"This is {tries}, as {causes.ended_with(earlier[-1])}.")
    advice = [f"`cvq watch {job.id}` follows it."]
    for look in (_at, _cancelling, _worker_of, _limits, _unusual, _quiet):
        found = look(seen, ran)
        said += found.said
        advice += found.advice
    return Told(said, advice)


def _at(seen: _Seen, _ran: float) -> Told:
    at = seen.job.progress
    if not at or at.get("total") is None:
        return Told([], [])
    left = duration(at.get("eta_s"))
    more = f", with about {left} to go" if left else ""
    return Told([f"It is at {at.get('unit') or 'step'} {at['done']} of {at['total']}{more}."], [])


def _cancelling(seen: _Seen, _ran: float) -> Told:
    request = _request(seen)
    if request is None:
        return Told([], [])
    ago = duration((seen.now - request.time).total_seconds())
    return Told([f"{request.by} asked {ago} ago to cancel it: it stops within seconds."], [])


def _worker_of(seen: _Seen, _ran: float) -> Told:
    """Whether the worker is there."""
    connection, job, now, _ = seen
    workers = queries.workers(connection, also_gone=True)
    mine = next((w for w in workers if w.id == job.lease_owner), None)
    left = ((job.lease_until or now) - now).total_seconds()
    others = any(w.alive for w in workers if w.id != job.lease_owner)
    if left <= 0:
        next_ = "is taken from it in a moment" if others else "stays so until another is up"
        said = f"Its worker {job.lease_owner} has fallen silent, and the job {next_}."
        return Told([said], [] if others else [_start(job.queue)])
    if mine is None:
        return Told([], [])
    again = "tried again" if job.attempt < job.max_attempts else "given up"
    silent = (now - mine.seen_at).total_seconds()
    if mine.state == WorkerState.GONE:
        said = f"Its worker {mine.id} has left without it: it is {again} in {duration(left)}."
        return Told([said], [])
    if silent > min(_SILENT_S, mine.lease / 2):
        said = f"Its worker {mine.id} has been silent for {duration(silent)}"
        return Told(
            [f"{said}: where that goes on, the job is {again} in {duration(left)}."],
            [f"Is {mine.host} up, and does it reach the database?"],
        )
    if mine.drain == Drain.FINISH:
        return Told(["Its worker leaves when it has ended."], [])
    if mine.drain or mine.state == WorkerState.DRAINING:
        return Told(["Its worker is leaving: the job goes back to the queue."], [])
    return Told([], [])


def _limits(seen: _Seen, ran: float) -> Told:
    said = []
    limits = (seen.job.soft_time_limit, seen.job.time_limit)
    for limit, what in zip(limits, ("It is asked to stop", "It is killed"), strict=True):
        if limit is not None:
            when = f"in {duration(limit - ran)}" if limit > ran else "now"
            said.append(f"{what} {when}, at its limit of {duration(limit)}.")
    left = [limit - ran for limit in limits if limit is not None]
    eta = (seen.job.progress or {}).get("eta_s")
    if left and eta is not None and eta > min(left):
        said.append("At its pace it will not be done by then.")
    return Told(said, [])


def _unusual(seen: _Seen, ran: float) -> Told:
    times = queries.run_times(seen.connection, seen.job.kind)
    if len(times) < _FEWEST or ran < _LONGER * median(times) + _SILENT_S:
        return Told([], [])
    usual = f"{seen.job.kind} jobs that succeeded took {duration(median(times))}"
    return Told([f"That is longer than usual: the last {len(times)} {usual} in the median."], [])


def _quiet(seen: _Seen, ran: float) -> Told:
    job, now = seen.job, seen.now
    last = queries.last_sign(seen.connection, job.attempt_id)
    quiet = ran if last is None else (now - last).total_seconds()
    if quiet < _QUIET_S:
        return Told([], [])
    said = f"It has written no log line and no metric for {duration(quiet)}."
    return Told(
        [said],
        [
            causes.log_advice(job),
            f"If it hangs, `cvq cancel {job.id}` stops it; --time-limit does so by itself.",
        ],
    )


# ---------------------------------------------------------------------------- the end


def _failed(seen: _Seen) -> Told:
    connection, job = seen.connection, seen.job
    if job.reason != "dependency-failed":
        return causes.cause(job, queries.attempts_of(connection, job.id))
    parent = _culprit(connection, job)
    if parent is None:
        return Told(["A job that it waited for did not succeed."], [])
    again = "was cancelled" if parent.state == State.CANCELLED else f"failed ({parent.reason})"
    return Told(
        [f"It never started: job {parent.id}, which it waited for, {again}."],
        [
            f"`cvq why {parent.id}` explains that one.",
            "When that one has succeeded in a new job, submit this one again, too.",
        ],
    )


def _culprit(connection: Connection, job: Job) -> Job | None:
    """The job at the head of a chain of jobs that failed because of one another."""
    found = None
    while job.reason == "dependency-failed":
        parents = queries.parents_of(connection, job.id)
        ended = [parent for parent in parents if parent.state in (State.FAILED, State.CANCELLED)]
        if not ended:
            break
        # The one that failed by itself says most.
        found = job = min(ended, key=lambda parent: parent.reason == "dependency-failed")
    return found


def _cancelled(seen: _Seen) -> Told:
    request = _request(seen)
    again = f"`cvq show {seen.job.id}` has its values, to submit it again."
    if request is None:
        return Told(["It was cancelled."], [again])
    ago = duration((seen.now - request.time).total_seconds())
    when = "before it had started"
    if attempts := queries.attempts_of(seen.connection, seen.job.id):
        last = attempts[-1]
        during = last.finished_at is None or last.finished_at >= request.time
        when = f"{'during' if during else 'after'} attempt {last.number}"
    return Told([f"{request.by} cancelled it {ago} ago, {when}."], [again])


def _request(seen: _Seen) -> Row[Any] | None:
    """The event of the first who asked to cancel the job."""
    events = queries.events_of(seen.connection, seen.job.id)
    return next((event for event in events if event.what == "cancel requested"), None)


def _succeeded(seen: _Seen) -> Told:
    connection, job = seen.connection, seen.job
    attempts = queries.attempts_of(connection, job.id)
    if not attempts:
        return Told(["It succeeded."], [f"`cvq show {job.id}` tells all about it."])
    *earlier, last = attempts
    took = duration(job.seconds(seen.now))
    said = [f"It succeeded in {took}, at attempt {last.number}." if earlier else
            f"It succeeded in {took}, at the first attempt."]  # fmt: skip
    if earlier:
        said.append(f"{_capital(join([causes.ended_with(attempt) for attempt in earlier]))}.")
    said += [f"It warns: {warning.rstrip('.')}." for warning in job.warnings]
    files = results_of(queries.artifacts_of(connection, [job.id])[job.id])
    word = "get" if files else "show"
    what = "copies its files here" if files else "tells all about it"
    return Told(said, [f"`cvq {word} {job.id}` {what}."])


def _odd(seen: _Seen) -> Told:
    said = f"It is in the state '{seen.job.state}', which cvq does not know: no worker takes it."
    return Told([said], [f"`cvq cancel {seen.job.id}` ends it."])


# ---------------------------------------------------------------------------- words


def _named(jobs: list[Job]) -> str:
    return join([f"job {job.id} ({job.state})" for job in jobs])


def _ids(workers: list[Worker]) -> str:
    return join([worker.id for worker in workers], most=3)


def _jobs(number: int) -> str:
    return f"{count(number, 'job')} {'is' if number == 1 else 'are'}"


def _until(time: datetime | None, now: datetime) -> str:
    return duration(((time or now) - now) / timedelta(seconds=1))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


_BY_STATE: dict[str, Callable[[_Seen], Told]] = {
    State.WAITING: _waiting,
    State.QUEUED: _queued,
    State.RUNNING: _running,
    State.SUCCEEDED: _succeeded,
    State.FAILED: _failed,
    State.CANCELLED: _cancelled,
}
