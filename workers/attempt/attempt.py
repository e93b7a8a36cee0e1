"""One attempt of a job: until when it is leased, and which end it is to come to."""

from __future__ import annotations

import threading
import time

from cvq.lifecycle import endings
from cvq.records import Job, Outcome
from cvq.settings import Settings
from cvq.states import Reason, State

from ..clock import lease_clock
from ..process.job_process import JobProcess
from ..protocol import PulseOfWorker, Stop

_STOP_S = 0.5  # what a cancelled process gets between SIGTERM and SIGKILL


class Attempt:
    """The lease of an attempt, and the end that was requested for it.

    `beat`, `cancel`, `stop` and `lose` are called from the worker's heartbeat thread; everything
    else from the thread of the slot that runs it.

    Args:
        job: as it was claimed.
        settings: those of the worker.
        claimed_at: before its lease began, by `lease_clock`.
    """

    def __init__(self, job: Job, settings: Settings, claimed_at: float) -> None:
        self.job = job
        self.id = job.attempt_id
        self.leased_until = claimed_at + settings.lease
        self.lost = False
        self.requested: Outcome | None = None
        self.kill_at: float | None = None
        self._started = time.monotonic()
        self._lease, self._grace = settings.lease, settings.grace
        self._process: JobProcess | None = None
        self._lock = threading.RLock()  # also a signal's handler requests an end

    def holds(self, seconds: float = 0.0) -> bool:
        """Whether the lease will still hold in so many seconds."""
        return not self.lost and lease_clock() + seconds <= self.leased_until

    # ------------------------------------------------------------ from the heartbeat thread

    def beat(self, renewed_at: float) -> None:
        """The lease was renewed, by a statement sent at this time of `lease_clock`."""
        self.leased_until = renewed_at + self._lease
        if (process := self._process) is not None:
            process.beat(self.id, self.leased_until)

    def cancel(self) -> None:
        """Somebody wants the job cancelled."""
        self.request_end(Outcome(State.CANCELLED), _STOP_S)
        if (process := self._process) is not None:
            process.terminate()

    def stop(self, grace: float) -> None:
        """The worker drains: the process may save its work for `grace` seconds."""
        self.request_end(Outcome(State.QUEUED, Reason.PREEMPTED), grace)
        self.tell(Stop(*self.id))

    def lose(self) -> None:
        """The lease is gone: nothing more is written, and the process ends at once."""
        self.lost = True

    # ------------------------------------------------------------ from either

    def request_end(self, outcome: Outcome, grace: float) -> None:
        """Let the attempt end like this, and its process be killed after `grace` seconds."""
        deadline = time.monotonic() + grace
        with self._lock:
            # Who cancels a job that is being stopped does not want it queued again.
            if self.requested is None or outcome.state == State.CANCELLED:
                self.requested = outcome
            self.kill_at = min(self.kill_at or deadline, deadline)

    def tell(self, message: PulseOfWorker) -> None:
        """Say something to the process, where there is one."""
        if (process := self._process) is not None:
            process.tell(message)

    # ------------------------------------------------------------ from the slot's thread

    def run_in(self, process: JobProcess) -> None:
        """From now on, this process runs the attempt."""
        self._process = process

    def begin(self) -> None:
        """The process waits for its first beat."""
        if (process := self._process) is not None:
            process.beat(self.id, self.leased_until)
            if self.requested is not None:
                process.tell(Stop(*self.id))

    @property
    def is_over(self) -> bool:
        """Whether nothing need be begun any more."""
        if self.requested is None or self.kill_at is None:
            return False
        # At its soft time limit a job may still begin, and save what an earlier attempt has left.
        return self.requested.reason != Reason.TIMEOUT or time.monotonic() >= self.kill_at

    @property
    def overdue_s(self) -> float | None:
        """For how long the process should have been killed; None where it may live."""
        late = None if self.kill_at is None else time.monotonic() - self.kill_at
        return late if late is not None and late >= 0 else None

    def restart(self) -> None:
        """Its time begins now: what was before was not its own."""
        self._started = time.monotonic()

    def limit_reached(self) -> Outcome | None:
        """The end of an attempt that has taken as long as its job may."""
        limit = self.job.time_limit or self.job.soft_time_limit
        if limit is None or time.monotonic() - self._started <= limit:
            return None
        return _timeout(endings.timeout(limit, soft=self.job.time_limit is None))

    def check_limits(self) -> None:
        """Request the end of a job that has reached a time limit."""
        ran = time.monotonic() - self._started
        hard, soft = self.job.time_limit, self.job.soft_time_limit
        if hard is not None and ran > hard:
            self.request_end(_timeout(endings.timeout(hard, soft=False)), 0)
        elif soft is not None and ran > soft and self.requested is None:
            # The rest of the hard limit, or of a grace time, is for the last checkpoint.
            grace = self._grace if hard is None else hard - ran
            self.request_end(_timeout(endings.timeout(soft, soft=True)), grace)
            self.tell(Stop(*self.id))


def _timeout(error: str) -> Outcome:
    return Outcome(State.FAILED, Reason.TIMEOUT, error)
