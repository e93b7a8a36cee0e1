"""Phrases that explanations share."""

from __future__ import annotations

import shlex
from datetime import datetime, timedelta

from ..records import Job, Worker
from ..text import count, duration, join


def named(jobs: list[Job]) -> str:
    """Jobs with their states: `job 3 (running) and job 4 (queued)`."""
    return join([f"job {job.id} ({job.state})" for job in jobs])


def ids(workers: list[Worker]) -> str:
    """The ids of workers, the first three of them."""
    return join([worker.id for worker in workers], most=3)


def jobs_are(number: int) -> str:
    """`1 job is`, `2 jobs are`."""
    return f"{count(number, 'job')} {'is' if number == 1 else 'are'}"


def until(time: datetime | None, now: datetime) -> str:
    """How long it is until a time."""
    return duration(((time or now) - now) / timedelta(seconds=1))


def capital(text: str) -> str:
    """A sentence with a capital at its beginning."""
    return text[:1].upper() + text[1:]


def start_worker(queue: str, *, gpu: bool = False) -> str:
    """How a worker of a queue is started."""
    where = " on a machine with a GPU" if gpu or queue == "gpu" else ""
    if queue.startswith("host."):
        where = f" on {queue.removeprefix('host.')}"
    elif queue not in ("default", "gpu"):
        return f"`cvq worker --queues {shlex.quote(queue)}`{where} starts one."
    return f"`cvq up -d`{where} starts one."
