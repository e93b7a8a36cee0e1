"""How a slot comes by its next job."""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Collection
from typing import Any, NamedTuple

from cvq.devices import Slot
from cvq.errors import DatabaseError
from cvq.ids import AttemptId
from cvq.lifecycle import claims, leases, order
from cvq.matching import Offer
from cvq.records import Job

from .clock import lease_clock
from .versions import Code, versions_of
from .worker import Worker

log = logging.getLogger("cvq.worker")

_PAUSES_S = (0.2, 1.0, 5.0, None)  # after each try at a claim; None is the last
_LOCKED_S = 0.05  # between two looks at a row that is locked
_IN_TURN = 8  # of so many claims of a slot one takes whoever is first


class Claim(NamedTuple):
    """Jobs that are this worker's now, and the time before which their leases cannot have begun.

    More than one have a batch key in common.
    """

    jobs: list[Job]
    asked_at: float  # by `lease_clock`


class Claiming:
    """Claims jobs for the slots of a worker, and knows which jobs these may take."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._offers: dict[str, Offer] = {}  # by the kind of slot
        self._code = Code(())
        # Of slots (by identity) whose last claim has had no answer: its token, and when it was
        # asked first.
        self._unanswered: dict[int, tuple[str, float]] = {}
        # How many claims of a slot in a row may have overtaken others.
        self._overtaking: Counter[int] = Counter()

    def announce(self, kinds: dict[str, Any] | None, code: Code | None = None) -> None:
        """Let the slots offer what the worker announces that it can run, by which code."""
        self._code = code or self._code
        self._offers = {slot.kind: Offer(slot.kind, kinds) for slot in self._worker.slots}

    @property
    def unanswered(self) -> bool:
        """Whether a job may have been claimed by a claim without an answer."""
        return bool(self._unanswered)

    def claim(self, slot: Slot, resident: Collection[str] = ()) -> Claim | None:
        """The best job for a slot and what may run along with it, or None where there is none.

        A claim that has had no answer may have been committed: its token is kept, and the slot's
        next claim asks for the same jobs.

        Args:
            slot: free, and the caller's.
            resident: batch keys whose model the slot has loaded, which are preferred; but now and
                then whoever is first is taken, so that nobody waits for ever.
        """
        resident = resident if self._may_overtake(slot) else ()
        again = id(slot) in self._unanswered
        token, asked_at = self._unanswered.get(id(slot)) or (uuid.uuid4().hex, lease_clock())
        self._unanswered[id(slot)] = token, asked_at
        departure = self._worker.departure
        for pause in _PAUSES_S:
            leaving = departure.asked.is_set()
            try:
                claimed = self._ask(slot, token, asked_at, resident, again=again)
                del self._unanswered[id(slot)]
                return claimed
            except DatabaseError as error:
                log.warning("%s", error)
                again = True
                if pause is None or leaving:
                    break
                departure.asked.wait(pause)  # who leaves asks once more: the job may be ours
            except Exception:
                log.exception("a claim")
                break
        return None  # the next wake-up tries again

    def _may_overtake(self, slot: Slot) -> bool:
        self._overtaking[id(slot)] += 1
        return bool(self._overtaking[id(slot)] % _IN_TURN)

    def _ask(
        self, slot: Slot, token: str, asked_at: float, resident: Collection[str], *, again: bool
    ) -> Claim | None:
        worker = self._worker
        versions = versions_of(slot)
        with worker.db.write() as connection:
            jobs = claims.claim_batch(
                connection,
                worker=worker.id,
                host=worker.settings.host,
                queues=worker.queues,
                token=token,
                lease=worker.settings.lease,
                device=slot.device,
                versions=versions,
                offer=self._offers[slot.kind],
                most=worker.settings.micro_batch,
                resident=resident,
                again=again,
                code=self._code,
            )
        if jobs and lease_clock() - asked_at > worker.settings.lease / 2:
            # The database kept us waiting. No process is born under a lease half gone.
            asked_at = lease_clock()
            ours = self._renew([job.attempt_id for job in jobs])
            jobs = [job for job in jobs if job.attempt_id in ours]
        return Claim(jobs, asked_at) if jobs else None

    def _renew(self, attempts: Collection[AttemptId]) -> set[AttemptId]:
        """Renew leases, each as soon as its row is not locked; return which are still ours."""
        worker = self._worker
        left, renewed = set(attempts), set[AttemptId]()
        while left:
            with worker.db.write() as connection:
                kept = leases.renew(connection, worker.id, worker.settings.lease, left)
                left = leases.still_held(connection, worker.id, left - kept.keys())
            renewed |= kept.keys()
            if left and worker.departure.asked.wait(_LOCKED_S):
                break
        return renewed

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
