"""What keeps an attempt's process under its lease.

The worker sends a beat whenever it has renewed the lease; a beat says until when it lasts. A
process that has heard of no longer one kills itself then, before anybody else can have begun the
job anew.
"""

from __future__ import annotations

import signal
import threading

from cvq.errors import PermanentError
from cvq.ids import AttemptId

from ..clock import lease_clock
from ..protocol import (
    Alive,
    Beat,
    Begun,
    Confirm,
    Confirmed,
    Ping,
    PulseOfWorker,
    Serve,
    Stop,
)
from .sockets import JobSockets


class Control(JobSockets):
    """The sockets of a process that runs one attempt.

    Args:
        attempt: the one that this process runs.
        events, pulse: see `JobSockets`.
    """

    def __init__(self, attempt: AttemptId, events: int, pulse: int) -> None:
        super().__init__(events, pulse)
        self._attempt = attempt
        self._expires: float | None = None
        self._confirmed = threading.Event()

    def begin(self) -> None:
        """Say that the process runs, wait for the first beat, and answer all others."""
        # A process that was stopped must not take one more step under a lease that ended.
        signal.signal(signal.SIGCONT, lambda *_: self._check())
        self._answer(Begun(*self._attempt))
        while self._expires is None:  # else it would begin under a lease that it does not know
            self._read()
        self._check()
        self._listen_in_thread("cvq-lease")

    def confirm(self) -> None:
        """Ask the worker to store all that was sent, and wait for its word that it has."""
        if not self.is_own:
            raise PermanentError(
                "ctx.confirm() is for the job's own process, not for its children"
            )
        self._confirmed.clear()
        self.send(Confirm(*self._attempt))
        self._confirmed.wait()  # without a word, `_listen` ends this process with the lease

    def _check(self) -> None:
        """End where the lease has."""
        if self._expires is not None and lease_clock() >= self._expires and self.is_own:
            self._end("the lease ended")

    def _hear(self, message: PulseOfWorker) -> None:
        if isinstance(message, Ping | Serve) or message.attempt_id != self._attempt:
            return
        match message:
            case Beat():
                # An old beat, read late, prolongs nothing: it says itself how long it counts.
                self._expires = max(self._expires or 0.0, message.until)
                self._answer(Alive())
            case Stop():
                self.stop_requested.set()
            case Confirmed():
                self._confirmed.set()
