"""What each worker does for all: dead workers' jobs and those whose time has come are queued."""

from __future__ import annotations

import logging
import os
import time

from cvq import queries
from cvq.lifecycle import attempts, jobs

from .claiming import Claiming
from .reaper import Reaper
from .worker import Worker

log = logging.getLogger("cvq.worker")


class Upkeep:
    """Keeps the queue going, and lets the worker leave when it is not needed any more.

    Args:
        burst: leave when nothing is queued or running any more.
        parent: the process that this worker was started for; the same, once it has ended.
        stop_with: the process that this worker was started by; leave as at SIGTERM once it has
            ended.
    """

    def __init__(
        self,
        worker: Worker,
        claiming: Claiming,
        *,
        burst: bool,
        parent: int | None,
        stop_with: int | None,
    ) -> None:
        self._worker = worker
        self._claiming = claiming
        self._burst, self._parent, self._stop_with = burst, parent, stop_with
        self._reaper = Reaper(worker.settings.lease)

    def look(self) -> None:
        """Look after everything once."""
        departure = self._worker.departure
        if self._stop_with not in (None, os.getppid()) and not departure.leaving:
            log.info("who started this worker has ended")
            departure.leave()
        self._tend_jobs()
        if self._is_done() and self._has_nothing_to_do():
            self._tend_jobs()  # what has just ended may let others begin
            if self._has_nothing_to_do():
                departure.leave()

    def _tend_jobs(self) -> None:
        worker = self._worker
        with worker.db.read() as connection:
            dead = self._reaper.look(queries.held_leases(connection), time.monotonic())
            waiting = queries.any_waiting(connection)
        if dead or waiting:  # a transaction that writes costs five times one that looks
            with worker.db.write() as connection:
                for attempt in attempts.reap(connection, worker.id, dead):
                    log.warning("job %s attempt %s: its worker fell silent", *attempt)
                jobs.promote(connection, worker.id)

    def _is_done(self) -> bool:
        """Whether the worker is to leave as soon as nothing is left to do."""
        return self._burst or self._parent not in (None, os.getppid())

    def _has_nothing_to_do(self) -> bool:
        slots = self._worker.slots
        # Asked twice: what was queued at the first may have been claimed at the second.
        idle = slots.idle and not self._claiming.unanswered
        return idle and not self._claiming.queued() and slots.idle
