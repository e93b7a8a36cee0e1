"""The job's ends of its two sockets: events out, and the pulse that keeps its lease.

Events leave as JSON lines through one socket. Through the other, the pulse, the worker sends a
beat whenever it has renewed the lease, and a thread answers that does nothing else: a process that
does not answer is frozen, and its worker kills it. No report goes through the pulse, so that no
amount of output holds an answer up. A beat says until when the lease lasts. A process that has
heard of no longer one kills itself then, before anybody else can have begun the job anew.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
from typing import NoReturn

from cvq.errors import PermanentError
from cvq.ids import AttemptId

from ..clock import lease_clock
from ..protocol import (
    EXIT_CUT,
    LONGEST_EVENT,
    PULSE_OF_WORKER,
    Abandoned,
    Alive,
    Beat,
    Begun,
    Confirm,
    Confirmed,
    Event,
    PulseOfJob,
    Stop,
    decode,
    encode,
)

_SLICE_S = 0.25


class Control:
    """The job's ends of both sockets: events out; beats, answers and other words on the pulse.

    A child that the job forks inherits this. It may report, as the job; it answers no beats, and
    what becomes of it does not end the job.

    Args:
        attempt: the one that this process runs.
        events: descriptor of the socket for events.
        pulse: of the one for beats.
    """

    def __init__(self, attempt: AttemptId, events: int, pulse: int) -> None:
        for descriptor in (events, pulse):
            os.set_inheritable(descriptor, False)
        self._attempt = attempt
        self._events = socket.socket(fileno=events)
        self._pulse = socket.socket(fileno=pulse)
        self._identities = {each: _identity(each) for each in (self._events, self._pulse)}
        self._poll = select.poll()
        self._poll.register(self._pulse, select.POLLIN)
        self._owner = os.getpid()
        self._rest = b""
        self._expires: float | None = None
        self._lock = threading.Lock()
        self.stop_requested = threading.Event()
        self._confirmed = threading.Event()

    @property
    def is_own(self) -> bool:
        """Whether this is the job's process, and not a child that it has forked."""
        return os.getpid() == self._owner

    def begin(self) -> None:
        """Say that the process runs, wait for the first beat, and answer all others."""
        os.register_at_fork(after_in_child=self._become_child)
        # A process that was stopped must not take one more step under a lease that ended.
        signal.signal(signal.SIGCONT, lambda *_: self._check_lease())
        self._answer(Begun(*self._attempt))
        while self._expires is None:  # else it would begin under a lease that it does not know
            self._read(_SLICE_S)
        self._check_lease()
        threading.Thread(target=self._listen, name="cvq-lease", daemon=True).start()

    def confirm(self) -> None:
        """Ask the worker to store all that was sent, and wait for its word that it has."""
        if not self.is_own:
            raise PermanentError(
                "ctx.confirm() is for the job's own process, not for its children"
            )
        self._confirmed.clear()
        self.send(Confirm(*self._attempt))
        self._confirmed.wait()  # without a word, `_listen` ends this process with the lease

    def send(self, event: Event) -> None:
        """Send one event, also from a thread or a child of the job's.

        Raises:
            PermanentError: it is longer than `LONGEST_EVENT`.
        """
        line = encode(event)
        if len(line) > LONGEST_EVENT:
            raise PermanentError(
                f"a report of {len(line)} bytes at once: no more than {LONGEST_EVENT} are taken"
            )
        self._check_lease()
        with self._lock:
            self._check_sockets()
            try:
                # One call for a whole line, which the kernel does not mix with another process's.
                self._events.sendall(line)
            except OSError:
                self._end_cut()

    def _become_child(self) -> None:
        self._lock = threading.Lock()  # another thread may have held it

    def _check_lease(self) -> None:
        if self._expires is not None and lease_clock() >= self._expires and self.is_own:
            self._end("the lease ended")

    def _check_sockets(self) -> None:
        """End with a code that says so where the job has closed what is not its own."""
        for each, identity in self._identities.items():
            if _identity(each) != identity:
                self._end_cut()

    def _listen(self) -> None:
        try:
            while True:
                self._read(_SLICE_S)
                self._check_lease()
        except Exception as error:  # nobody else would see to it that the lease is kept
            self._end(f"its lease could not be watched ({type(error).__name__}: {error})")

    def _read(self, seconds: float) -> None:
        """Wait at most so long for the worker, and hear what it says."""
        ready = self._poll.poll(seconds * 1000)
        self._check_sockets()
        if not ready:
            return
        try:
            heard = self._pulse.recv(1 << 16)
        except OSError:
            heard = b""
        if not heard:
            self._end_cut()
        *lines, self._rest = (self._rest + heard).split(b"\n")
        for line in lines:
            self._hear(line)

    def _hear(self, line: bytes) -> None:
        try:
            message = decode(line, PULSE_OF_WORKER)
        except ValueError:  # written by a process of the job's own
            return
        if message.attempt_id != self._attempt:
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

    def _answer(self, message: PulseOfJob) -> None:
        with contextlib.suppress(OSError):
            self._pulse.send(encode(message), socket.MSG_DONTWAIT)

    def _end(self, why: str) -> NoReturn:
        """End at once: somebody else may have the job soon. The supervisor ends the children."""
        if self.is_own:
            self._answer(Abandoned(why))
        self._leave(1)

    def _end_cut(self) -> NoReturn:
        """End where a socket is at its end.

        The worker has gone; or it is there, and the job has closed or shut down what is not its
        own: then no word but the exit code, of which the supervisor tells, comes through.
        """
        self._leave(EXIT_CUT)

    def _leave(self, code: int) -> NoReturn:
        """Kill the rest of the job's group, as its supervisor may be frozen, and exit."""
        if self.is_own:
            with contextlib.suppress(OSError):
                os.setpgid(0, os.getpgid(os.getppid()))
                os.killpg(self._owner, signal.SIGKILL)
        os._exit(code)


def _identity(owned: socket.socket) -> tuple[int, int] | None:
    """What tells a socket from whatever may have its descriptor later."""
    try:
        status = os.fstat(owned.fileno())
    except OSError:
        return None
    return status.st_dev, status.st_ino
