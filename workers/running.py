"""What was claimed, run to its end: in a process of its own, or on the slot's warm one."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from cvq.devices import Slot
from cvq.errors import CvqError
from cvq.ids import AttemptId
from cvq.kinds import get_kind
from cvq.kinds.kind import Kind
from cvq.records import Job

from .attempt.attempt import Attempt
from .attempt.execution import Execution, Site
from .claiming import Claim
from .ended import EndedJobs
from .launch.launcher import Launcher
from .warm.micro_batch import MicroBatch
from .warm.relay import Relay
from .warm.warm_process import WarmProcess
from .worker import Worker

log = logging.getLogger("cvq.worker")


class Running:
    """Runs claims in the slots of a worker, each in the thread that calls.

    Args:
        worker: whose slots they are.
        launcher: starts processes.
    """

    def __init__(self, worker: Worker, launcher: Launcher) -> None:
        self._worker = worker
        self._launcher = launcher
        self._warm: dict[int, WarmProcess] = {}  # by the identity of its slot
        self._ended = EndedJobs(worker.settings)
        self._kinds: dict[str, Kind] = {}  # looking for plug-ins takes 50 ms

    def resident(self, slot: Slot) -> Collection[str]:
        """The batch keys whose model a slot has loaded."""
        warm = self._warm.get(id(slot))
        return warm.resident if warm else ()

    def run(self, claim: Claim, slot: Slot, more: Callable[[], Claim | None]) -> None:
        """Run what was claimed to its end, whatever goes wrong: a slot outlives it.

        Args:
            claim: of jobs.
            slot: where they run.
            more: claims what comes next, while this runs.
        """
        attempts: Sequence[Attempt] = self._begin(claim)
        if (kind := self._kind_for_warm(claim.jobs[0], slot)) is not None:
            attempts = self._run_together(attempts, kind, slot, more)
        if attempts:
            self._run_each(attempts, slot)

    def _begin(self, claim: Claim) -> list[Attempt]:
        """The attempts of a claim, whose leases are kept from now on."""
        attempts = [Attempt(job, self._worker.settings, claim.asked_at) for job in claim.jobs]
        for attempt in attempts:
            self._worker.attempts.add(attempt)
        return attempts

    def _run_each(self, attempts: Sequence[Attempt], slot: Slot) -> None:
        """Run each in a process of its own.

        More than one where this worker's kind has no inference, as an older one.
        """
        warm = self._warm.get(id(slot))
        if warm is not None and slot.kind != "cpu":
            warm.close()  # this job may need the room that its models take
        for attempt in attempts:
            self._run_alone(attempt, slot)

    def _kind_for_warm(self, job: Job, slot: Slot) -> Kind | None:
        """The kind of a job that may share a batch; None where it gets a process of its own."""
        if job.batch_key is None or (job.device == "cpu" and slot.kind != "cpu"):
            return None
        if job.kind not in self._kinds:
            with contextlib.suppress(CvqError):  # its own attempt will say so
                self._kinds[job.kind] = get_kind(job.kind, self._worker.settings)
        kind = self._kinds.get(job.kind)
        return kind if kind is not None and kind.inference is not None else None

    def close(self) -> None:
        """End the warm processes."""
        for warm in self._warm.values():
            warm.close()

    @property
    def _site(self) -> Site:
        worker = self._worker
        return Site(worker.id, worker.settings, worker.db, worker.artifacts, self._launcher)

    def _run_alone(self, attempt: Attempt, slot: Slot) -> None:
        """Run an attempt in a process of its own."""
        attempt.restart()
        execution = Execution(attempt, slot, self._site)
        log.info("job %s attempt %s: %s on %s", *attempt.id, attempt.job.kind, slot.device)
        started = time.monotonic()
        try:
            state = execution.run()
        except BaseException as error:
            log.exception("job %s attempt %s: the worker failed", *attempt.id)
            state = execution.fail(error)
        finally:
            self._worker.attempts.discard(attempt)
        seconds = time.monotonic() - started
        self._worker.tally.add(attempt.job, state, seconds)
        log.info("job %s attempt %s: %s in %.1f s", *attempt.id, state or "lost", seconds)

    def _run_together(
        self, attempts: Sequence[Attempt], kind: Kind, slot: Slot, more: Callable[[], Claim | None]
    ) -> Sequence[Attempt]:
        """Run jobs of one batch key on the slot's warm process, and those that follow.

        Returns those that came next, and get processes of their own.
        """
        warm = self._warm.get(id(slot))
        if warm is None:
            warm = self._warm[id(slot)] = WarmProcess(slot, self._site)
        others: MicroBatch | None = None

        def following() -> MicroBatch | None:
            if warm.is_worn or (found := more()) is None:
                return None
            kind = self._kind_for_warm(found.jobs[0], slot)
            return self._micro_batch(self._begin(found), kind, warm)

        try:
            relay = Relay(following, partial(self._note_end, slot))
            others = relay.run(self._micro_batch(attempts, kind, warm))
        except BaseException:
            log.exception("jobs of %s: the worker failed", kind.name)
            warm.close()
        if warm.is_worn:
            warm.close()
        return others.attempts if others is not None else ()

    def _micro_batch(
        self, attempts: Sequence[Attempt], kind: Kind | None, warm: WarmProcess
    ) -> MicroBatch:
        def told(ended: Mapping[AttemptId, str]) -> None:
            for attempt in attempts:
                if attempt.id in ended:
                    self._worker.attempts.discard(attempt)
            self._ended.tell(id_.job_id for id_ in ended)

        return MicroBatch(attempts, kind, self._site, warm, told)

    def _note_end(self, slot: Slot, one: MicroBatch) -> None:
        """The attempts of a micro-batch are no longer here."""
        for attempt in one.attempts:
            self._worker.attempts.discard(attempt)
            share = one.seconds / len(one.attempts)
            self._worker.tally.add(attempt.job, one.states.get(attempt.id), share)
        counts = Counter(one.states.get(attempt.id, "lost") for attempt in one.attempts)
        shown = ", ".join(f"{count} {state}" for state, count in counts.items())
        first = one.attempts[0].job
        log.info(
            "micro-batch of job %s, %s on %s: %s, answered in %.2f s",
            *(first.id, first.kind, slot.device, shown, one.seconds),
        )
