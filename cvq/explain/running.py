"""How a running job is doing: where it is, whether its worker is there, whether it is slow."""

from __future__ import annotations

from statistics import median

from .. import queries
from ..states import Drain, WorkerState
from ..text import duration
from . import causes
from .diagnosis import NOTHING, Diagnosis, Snapshot
from .phrases import start_worker

_SILENT_S = 5.0  # a worker is heard of twice a second
_QUIET_S = 120.0  # a job that writes nothing for so long is worth a look
_FEWEST, _LONGER = 3, 1.5  # how many jobs tell what is usual, and what is longer than that


def diagnose(snapshot: Snapshot) -> Diagnosis:
    """Where a running job is, and what of it is worth a word."""
    job, now = snapshot.job, snapshot.now
    ran = job.seconds(now) or 0.0
    if not snapshot.attempts:
        noted = f"It has been running for {duration(ran)}, with no attempt noted."
        return Diagnosis([noted], [f"If it hangs, `cvq cancel {job.id}` stops it."])
    [*earlier, attempt] = snapshot.attempts
    where = f"{attempt.host} ({attempt.device})" if attempt.device else attempt.host
    said = [f"It has been running on {where} for {duration(ran)}."]
    if earlier:
        tries = f"attempt {job.attempt} of {job.max_attempts}"
        said.append(f"This is {tries}, as {causes.ended_with(earlier[-1])}.")
    advice = [f"`cvq watch {job.id}` follows it."]
    for look in (_at, _cancelling, _worker_of, _limits, _unusual, _quiet):
        found = look(snapshot, ran)
        said += found.sentences
        advice += found.advice
    return Diagnosis(said, advice)


def _at(snapshot: Snapshot, _ran: float) -> Diagnosis:
    at = snapshot.job.progress
    if not at or at.get("total") is None:
        return NOTHING
    left = duration(at.get("eta_s"))
    more = f", with about {left} to go" if left else ""
    return Diagnosis(
        [f"It is at {at.get('unit') or 'step'} {at['done']} of {at['total']}{more}."], []
    )


def _cancelling(snapshot: Snapshot, _ran: float) -> Diagnosis:
    request = snapshot.cancel_request
    if request is None:
        return NOTHING
    ago = duration((snapshot.now - request.time).total_seconds())
    return Diagnosis([f"{request.by} asked {ago} ago to cancel it: it stops within seconds."], [])


def _worker_of(snapshot: Snapshot, _ran: float) -> Diagnosis:
    """Whether the worker is there."""
    connection, job, now = snapshot.connection, snapshot.job, snapshot.now
    workers = queries.workers(connection, also_gone=True)
    mine = next((w for w in workers if w.id == job.lease_owner), None)
    left = ((job.lease_until or now) - now).total_seconds()
    others = any(w.alive for w in workers if w.id != job.lease_owner)
    if left <= 0:
        next_ = "is taken from it in a moment" if others else "stays so until another is up"
        said = f"Its worker {job.lease_owner} has fallen silent, and the job {next_}."
        return Diagnosis([said], [] if others else [start_worker(job.queue)])
    if mine is None:
        return NOTHING
    again = "tried again" if job.attempt < job.max_attempts else "given up"
    silent = (now - mine.seen_at).total_seconds()
    if mine.state == WorkerState.GONE:
        said = f"Its worker {mine.id} has left without it: it is {again} in {duration(left)}."
        return Diagnosis([said], [])
    if silent > min(_SILENT_S, mine.lease / 2):
        said = f"Its worker {mine.id} has been silent for {duration(silent)}"
        return Diagnosis(
            [f"{said}: where that goes on, the job is {again} in {duration(left)}."],
            [f"Is {mine.host} up, and does it reach the database?"],
        )
    if mine.drain == Drain.FINISH:
        return Diagnosis(["Its worker leaves when it has ended."], [])
    if mine.drain or mine.state == WorkerState.DRAINING:
        return Diagnosis(["Its worker is leaving: the job goes back to the queue."], [])
    return NOTHING


def _limits(snapshot: Snapshot, ran: float) -> Diagnosis:
    said = []
    limits = (snapshot.job.soft_time_limit, snapshot.job.time_limit)
    for limit, what in zip(limits, ("It is asked to stop", "It is killed"), strict=True):
        if limit is not None:
            when = f"in {duration(limit - ran)}" if limit > ran else "now"
            said.append(f"{what} {when}, at its limit of {duration(limit)}.")
    left = [limit - ran for limit in limits if limit is not None]
    eta = (snapshot.job.progress or {}).get("eta_s")
    if left and eta is not None and eta > min(left):
        said.append("At its pace it will not be done by then.")
    return Diagnosis(said, [])


def _unusual(snapshot: Snapshot, ran: float) -> Diagnosis:
    times = queries.run_times(snapshot.connection, snapshot.job.kind)
    if len(times) < _FEWEST or ran < _LONGER * median(times) + _SILENT_S:
        return NOTHING
    usual = f"{snapshot.job.kind} jobs that succeeded took {duration(median(times))}"
    return Diagnosis(
        [f"That is longer than usual: the last {len(times)} {usual} in the median."], []
    )


def _quiet(snapshot: Snapshot, ran: float) -> Diagnosis:
    job, now = snapshot.job, snapshot.now
    last = queries.last_sign(snapshot.connection, job.attempt_id)
    quiet = ran if last is None else (now - last).total_seconds()
    if quiet < _QUIET_S:
        return NOTHING
    said = f"It has written no log line and no metric for {duration(quiet)}."
    return Diagnosis(
        [said],
        [
            causes.log_advice(job),
            f"If it hangs, `cvq cancel {job.id}` stops it; --time-limit does so by itself.",
        ],
    )
