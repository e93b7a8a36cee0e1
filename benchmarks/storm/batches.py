"""Submits a storm's batches of items, and cancels what is stuck, whatever fails meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from cvq import Client
from cvq.errors import CvqError, DatabaseError
from cvq.views import filters

from .items import STUCK
from .plan import Plan, PlannedBatch

_TRIES = {False: 50, True: 1}  # again, of healthy items and of poisons
_TIME_LIMIT_S = 1.0  # of those that hang; with one for each, all may be lost to the storm


class BatchSubmitter:
    """Submits the batches that are due.

    Args:
        client: of the thread that calls.
        plan: of the storm.
        wait: waits so many seconds; True where nothing more is wanted.
    """

    def __init__(self, client: Client, plan: Plan, wait: Callable[[float], bool]) -> None:
        self.submitted = 0  # items
        self.refused = self.resolved = 0
        self._client, self._wait = client, wait
        self._left = sorted(plan.batches, key=lambda batch: batch.at)
        self._stuck = {item.number for item in plan.items if item.temper == STUCK}

    def submit_due(self, seconds: float) -> None:
        """Submit what is to be submitted by now, so many seconds after the start."""
        while self._left and self._left[0].at <= seconds:
            batch = self._left.pop(0)
            self._submit(batch)
            self.submitted += len(batch.items)

    @property
    def done(self) -> bool:
        """Whether all are submitted."""
        return not self._left

    def _submit(self, batch: PlannedBatch) -> None:
        hangs = batch.items[0].temper == "hang"
        while not self._wait(0):
            try:
                self._client.submit_many(
                    "storm-item",
                    [[f"{item.number} {item.temper}"] for item in batch.items],
                    tags={"batch": str(batch.number)},
                    retries=_TRIES[batch.poisonous],
                    cache=False,
                    time_limit=_TIME_LIMIT_S if hangs else None,
                )
                return
            except CvqError:
                # The answer may have been lost after the commit: look before trying again.
                if self._is_there(batch):
                    self.resolved += 1
                    return
                self.refused += 1

    def _is_there(self, batch: PlannedBatch) -> bool:
        while not self._wait(0.1):
            with contextlib.suppress(DatabaseError):
                return bool(self._client.jobs(tag={"batch": str(batch.number)}))
        return False

    def cancel_stuck(self) -> None:
        """Cancel what is stuck and keeps others waiting.

        Raises:
            DatabaseError: it is away.
        """
        if not self._stuck:
            return
        wanted = filters.Filter(kinds=["storm-item"], states=["running"])
        with self._client.db.read() as connection:
            running = filters.find(connection, wanted)
        for job in running:
            number, temper = job.spec["asked"][0].split()
            if temper == STUCK and int(number) in self._stuck:
                self._client.cancel(job.id)
                self._stuck.discard(int(number))
