"""Why a queued job has not begun: nobody serves its queue, nobody can run it, or all are busy."""

from __future__ import annotations

from .. import queries
from ..lifecycle import order
from ..matching import Candidates, Needs, misfit_of_all, offers_of
from ..records import Job, Worker
from ..text import duration, join
from .diagnosis import Diagnosis, Snapshot
from .phrases import ids, jobs_are, start_worker
from .waiting import last_attempt

_SOON_S = 10.0  # a queued job that waits longer beside a free slot is worth a look
_MOST_WORKERS = 3  # that an explanation names each


def diagnose(snapshot: Snapshot) -> Diagnosis:
    """Why a queued job has not begun."""
    job = snapshot.job
    workers = Candidates.of(job, snapshot.workers)
    if not workers.alive:
        diagnosis = _unserved(job, workers.known)
    elif not workers.taking:
        who = ids(workers.alive)
        leaving = f"Every worker of the queue '{job.queue}' is about to leave: {who}."
        diagnosis = Diagnosis([leaving], [start_worker(job.queue)])
    elif not workers.able:
        diagnosis = _unfit(job, Needs.of(job), workers.taking)
    elif workers.free:
        diagnosis = _next(snapshot, workers.free)
    else:
        diagnosis = _busy(snapshot, workers.able)
    return Diagnosis([*last_attempt(snapshot), *diagnosis.sentences], diagnosis.advice)


def _unfit(job: Job, needs: Needs, taking: list[Worker]) -> Diagnosis:
    """Why none of the workers that serve its queue can run a job."""
    if job.device == "gpu" and not any(worker.has_gpu for worker in taking):
        none = f"no live worker of the queue '{job.queue}' has one: {ids(taking)}"
        other = f"Or `cvq cancel {job.id}`, and submit it again without --gpu."
        return Diagnosis(
            [f"It asks for a GPU, and {none}."], [start_worker(job.queue, gpu=True), other]
        )
    said = [f"No live worker of the queue '{job.queue}' can run it."]
    advice = []
    for worker in taking[:_MOST_WORKERS]:
        if no := misfit_of_all(needs, offers_of(worker)):
            said.append(f"{worker.id} {no.why}.")
            advice.append(f"For {worker.id}: {no.advice}.")
    if len(taking) > _MOST_WORKERS:
        said.append(f"So it is with {len(taking) - _MOST_WORKERS} more.")
    restart = "A worker is restarted by `cvq drain WORKER`, and `cvq up -d` on its machine."
    return Diagnosis(said, [*advice, restart])


def _unserved(job: Job, silent: list[Worker]) -> Diagnosis:
    said = [f"No live worker serves the queue '{job.queue}'."]
    if silent:
        verb = "has fallen" if len(silent) == 1 else "have fallen"
        said.append(f"{ids(silent)} {verb} silent.")
    return Diagnosis(said, [start_worker(job.queue)])


def _next(snapshot: Snapshot, free: list[Worker]) -> Diagnosis:
    job, now = snapshot.job, snapshot.now
    ahead = order.ahead_of(snapshot.connection, job)
    room = sum(worker.free_slots for worker in free)
    turn = "it" if ahead < room else f"{jobs_are(ahead)} before it, the first of which"
    said = [f"A slot is free on {ids(free)}: {turn} should start within two seconds."]
    if snapshot.redis:
        said.append(f"Without Redis a worker finds it some seconds later: {snapshot.redis}.")
    since = max(job.queued_at or now, max(worker.started_at for worker in free))
    waited = (now - since).total_seconds()
    if waited < _SOON_S:
        return Diagnosis(said, [])
    said.append(f"It has been queued for {duration(waited)} already.")
    return Diagnosis(said, ["If it still does not start, `cvq doctor` looks for what is wrong."])


def _busy(snapshot: Snapshot, able: list[Worker]) -> Diagnosis:
    job = snapshot.job
    running = [job_id for worker in able for job_id in worker.running]
    slots = sum(worker.slots for worker in able)
    ahead = order.ahead_of(snapshot.connection, job)
    all_of = f"All {slots} slots" if slots > 1 else "The only slot"
    verb = "are" if slots > 1 else "is"
    jobs = "job" if len(running) == 1 else "jobs"
    before = f", and {jobs_are(ahead)} before it" if ahead else ""
    busy = f"{verb} busy with {jobs} {join(running)}{before}"
    said = [f"{all_of} of the queue '{job.queue}' {busy}."]
    busy_with = queries.get_jobs(snapshot.connection, running)
    etas = [(eta, j.id) for j in busy_with if (eta := (j.progress or {}).get("eta_s")) is not None]
    if etas:
        said.append(f"Job {min(etas)[1]} should be done in about {duration(min(etas)[0])}.")
    advice = ["`cvq up -d --workers N` starts more workers, on a machine that has room for them."]
    if ahead and job.priority < 9:
        advice.append(f"Jobs with a higher --priority go first; this one has {job.priority}.")
    return Diagnosis(said, advice)
