"""Who could take a job: its queue's workers as the database knows them, and its needs."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Connection

from . import queries
from .matching import Needs, worker_misfit
from .records import Job

Worker = dict[str, Any]  # as `queries.workers` gives it


class Takers(NamedTuple):
    """The workers of a queue: all, those alive, those that take jobs, those that take this one."""

    known: list[Worker]
    serving: list[Worker]
    taking: list[Worker]
    able: list[Worker]

    @property
    def free(self) -> list[Worker]:
        """Those that could take the job and have a slot that runs nothing."""
        return [worker for worker in self.able if worker["slots"] > len(worker["running"])]


def takers(connection: Connection, job: Job) -> Takers:
    """Who serves a job's queue, and who of them can run the job."""
    needs = Needs.of(job)
    known = [worker for worker in queries.workers(connection) if job.queue in worker["queues"]]
    serving = [worker for worker in known if worker["alive"]]
    taking = [worker for worker in serving if worker["state"] == "up" and not worker["drain"]]
    able = [w for w in taking if worker_misfit(needs, w["devices"], w["kinds"]) is None]
    return Takers(known, serving, taking, able)
