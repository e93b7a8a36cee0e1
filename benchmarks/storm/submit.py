"""Submits a storm's jobs and cancels some of them, whatever fails meanwhile."""

from __future__ import annotations

import contextlib
import threading
import time

from cvq import Client
from cvq.errors import CvqError, DatabaseError
from cvq.views import filters

from .batches import BatchSubmitter
from .cluster import Cluster
from .plan import Plan, PlannedJob


class Submitter(threading.Thread):
    """Submits each job at its time and cancels those that are to be cancelled, whatever fails.

    A thread of its own, because a frozen worker can hold the database, and only the storm's other
    thread can thaw it.
    """

    def __init__(self, cluster: Cluster, plan: Plan, started: float) -> None:
        super().__init__(name="submitter", daemon=True)
        self.ids: dict[int, int] = {}
        self.cancel_asked: set[int] = set()
        self.refused = 0  # submissions that failed and had left nothing behind
        self.resolved = 0  # submissions that failed and had entered the job all the same
        self.error: BaseException | None = None
        self._cluster = cluster
        self._cancelled: set[int] = set()
        self._client = Client(cluster.settings)
        self._plan = plan
        self._begun = started
        self._stopping = threading.Event()
        self.batches = BatchSubmitter(self._client, plan, self._stopping.wait)

    def run(self) -> None:
        """Submit, then go on cancelling until `stop`."""
        try:
            for job in self._plan.jobs:
                while time.monotonic() < self._begun + job.at:
                    if self._turn():
                        return
                self._submit(job)
            while not self._turn():
                pass
        except BaseException as error:  # told by the storm's own thread
            self.error = error
        finally:
            self._client.db.engine.dispose()
            if self._client.broker._client is not None:
                self._client.broker._client.close()

    @property
    def submitted(self) -> int:
        """How many jobs and items."""
        return len(self.ids) + self.batches.submitted

    def stop(self) -> None:
        """Cancel nothing more."""
        self._stopping.set()
        self.join()

    def _turn(self) -> bool:
        self.batches.submit_due(time.monotonic() - self._begun)
        with contextlib.suppress(DatabaseError):
            self._cancel_due()
            self.batches.cancel_stuck()
        return self._stopping.wait(0.05)

    def _submit(self, job: PlannedJob) -> None:
        while not self._stopping.is_set():
            try:
                handle = self._client.submit(
                    "storm",
                    priority=job.priority,
                    name=f"storm-{job.number}",
                    tags={"number": str(job.number)},
                    after=[self.ids[number] for number in job.after],
                    retries=50,
                    ledger=str(self._cluster.ledger),
                    number=job.number,
                    steps=job.steps,
                    pause=job.pause,
                    trait=job.trait,
                )
            except CvqError:
                # The answer may have been lost after the commit: look before trying again.
                found = self._look_up(job.number)
                if found is None:
                    self.refused += 1
                    continue
                self.resolved += 1
                self.ids[job.number] = found
                return
            self.ids[job.number] = handle.id
            return

    def _look_up(self, number: int) -> int | None:
        while not self._stopping.wait(0.1):
            with contextlib.suppress(DatabaseError):
                jobs = self._client.jobs(tag={"number": str(number)})
                return jobs[0].id if jobs else None
        return None

    def _cancel_due(self) -> None:
        due = {
            self.ids[job.number]: job
            for job in self._plan.jobs
            if job.cancel_at is not None
            and job.number in self.ids
            and job.number not in self._cancelled
        }
        if not due:
            return
        wanted = filters.Filter(ids=list(due), states=["running"])
        with self._client.db.read() as connection:
            running = filters.find(connection, wanted)
        for found in running:
            job = due[found.id]
            assert job.cancel_at is not None
            if found.progress and found.progress["done"] >= job.cancel_at:
                # Before the answer, which may be lost after the commit.
                self.cancel_asked.add(job.number)
                self._client.cancel(found.id)
                self._cancelled.add(job.number)
