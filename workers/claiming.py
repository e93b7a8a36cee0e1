"""How a slot comes by its next job."""

from __future__ import annotations

import logging
import uuid
from typing import Any, NamedTuple

from cvq.devices import Slot
from cvq.errors import DatabaseError
from cvq.ids import AttemptId
from cvq.lifecycle import claims, leases, order
from cvq.matching import Offer
from cvq.records import Job

from .clock import lease_clock
from .worker import Worker

log = logging.getLogger("cvq.worker")

_PAUSES_S = (0.2, 1.0, 5.0, None)  # after each try at a claim; None is the last
_LOCKED_S = 0.05  # between two looks at a row that is locked


class Claim(NamedTuple):
    """A job that is this worker's now, and the time before which its lease cannot have begun."""

    job: Job
    asked_at: float  # by `lease_clock`


class Claiming:
    """Claims jobs for the slots of a worker, and knows which jobs these may take."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._offers: dict[str, Offer] = {}  # by the kind of slot
        # Of slots (by identity) whose last claim has had no answer: its token, and when it was
        # asked first.
        self._unanswered: dict[int, tuple[str, float]] = {}

    def announce(self, kinds: dict[str, Any] | None) -> None:
        """Let the slots offer what the worker announces that it can run."""
        self._offers = {slot.kind: Offer(slot.kind, kinds) for slot in self._worker.slots}

    @property
    def unanswered(self) -> bool:
        """Whether a job may have been claimed by a claim without an answer."""
        return bool(self._unanswered)

    def claim(self, slot: Slot) -> Claim | None:
        """The best job for a slot, or None where there is none.

        A claim that has had no answer may have been committed: its token is kept, and the slot's
        next claim asks for the same job.
        """
        token, asked_at = self._unanswered.get(id(slot)) or (uuid.uuid4().hex, lease_clock())
        self._unanswered[id(slot)] = token, asked_at
        departure = self._worker.departure
        for pause in _PAUSES_S:
            leaving = departure.asked.is_set()
            try:
                claimed = self._ask(slot, token, asked_at)
                del self._unanswered[id(slot)]
                return claimed
            except DatabaseError as error:
                log.warning("%s", error)
                if pause is None or leaving:
                    break
                departure.asked.wait(pause)  # who leaves asks once more: the job may be ours
            except Exception:
                log.exception("a claim")
                break
        return None  # the next wake-up tries again

    def _ask(self, slot: Slot, token: str, asked_at: float) -> Claim | None:
        worker = self._worker
        with worker.db.write() as connection:
            job = claims.claim(
                connection,
                worker=worker.id,
                host=worker.settings.host,
                queues=worker.queues,
                token=token,
                lease=worker.settings.lease,
                device=slot.device,
                versions=worker.versions,
                offer=self._offers[slot.kind],
            )
        if job is not None and lease_clock() - asked_at > worker.settings.lease / 2:
            # The database kept us waiting. No process is born under a lease half gone.
            asked_at = lease_clock()
            job = job if self._renew(job.attempt_id) else None
        return None if job is None else Claim(job, asked_at)

    def _renew(self, attempt: AttemptId) -> bool:
        """Renew a lease, as soon as its row is not locked; return whether it is still ours."""
        worker = self._worker
        while True:
            with worker.db.write() as connection:
                if leases.renew(connection, worker.id, worker.settings.lease, [attempt]):
                    return True
                if not leases.still_held(connection, worker.id, [attempt]):
                    return False
            if worker.departure.asked.wait(_LOCKED_S):
                return False

    def queued(self) -> dict[str, int]:
        """How many jobs wait on each of this worker's queues that one of its slots may take."""
        with self._worker.db.read() as connection:
            places = order.open_to_claims(connection)
        offers = self._offers.values()
        counts: dict[str, int] = {}
        for (queue, needs), count in places.items():
            fits = any(needs not in offer.refused for offer in offers)
            if queue in self._worker.queues and fits:
                counts[queue] = counts.get(queue, 0) + count
        return counts
