"""A job process's ends of its two sockets: events out, and the pulse.

Events leave as JSON lines through one socket. Through the other, the pulse, the worker says what
it has to say, and a thread answers that does nothing else: a process that does not answer is
frozen, and its worker kills it. No report goes through the pulse, so that no amount of output
holds an answer up.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
from abc import ABC, abstractmethod
from typing import NoReturn

from cvq.errors import PermanentError

from ..protocol import (
    EXIT_CUT,
    LONGEST_EVENT,
    PULSE_OF_WORKER,
    Abandoned,
    Event,
    Loaded,
    PulseOfJob,
    PulseOfWorker,
    Served,
    decode,
    encode,
)

_SLICE_S = 0.25


class JobSockets(ABC):
    """The job's ends of both sockets; a child says what it hears.

    A process that the job forks inherits this. It may report, as the job; it answers nothing, and
    what becomes of it does not end the job.

    Args:
        events: descriptor of the socket for events.
        pulse: of the one for beats.
    """

    def __init__(self, events: int, pulse: int) -> None:
        for descriptor in (events, pulse):
            os.set_inheritable(descriptor, False)
        self._events = socket.socket(fileno=events)
        self._pulse = socket.socket(fileno=pulse)
        self._identities = {each: _identity(each) for each in (self._events, self._pulse)}
        self._poll = select.poll()
        self._poll.register(self._pulse, select.POLLIN)
        self._owner = os.getpid()
        self._rest = b""
        self._lock = threading.Lock()
        self.stop_requested = threading.Event()

    # --- The children's ---------------------------------------------------------------------

    @abstractmethod
    def _hear(self, message: PulseOfWorker) -> None:
        """Do as the worker says."""

    @abstractmethod
    def confirm(self) -> None:
        """Wait until all that was sent is stored."""

    @abstractmethod
    def _check(self) -> None:
        """End where the process must not go on; asked before every event, and now and then."""

    # --- What all do alike ------------------------------------------------------------------

    @property
    def is_own(self) -> bool:
        """Whether this is the job's process, and not a child that it has forked."""
        return os.getpid() == self._owner

    def send(self, event: Event | Loaded | Served) -> None:
        """Send one event, also from a thread or a child of the job's.

        Raises:
            PermanentError: it is longer than `LONGEST_EVENT`.
        """
        line = encode(event)
        if len(line) > LONGEST_EVENT:
            raise PermanentError(
                f"a report of {len(line)} bytes at once: no more than {LONGEST_EVENT} are taken"
            )
        self._check()
        with self._lock:
            self._check_sockets()
            try:
                # One call for a whole line, which the kernel does not mix with another process's.
                self._events.sendall(line)
            except OSError:
                self._end_cut()

    def _listen_in_thread(self, name: str) -> None:
        """Hear the worker from now on."""
        os.register_at_fork(after_in_child=self._become_child)
        threading.Thread(target=self._listen, name=name, daemon=True).start()

    def _become_child(self) -> None:
        self._lock = threading.Lock()  # another thread may have held it

    def _check_sockets(self) -> None:
        """End with a code that says so where the job has closed what is not its own."""
        for each, identity in self._identities.items():
            if _identity(each) != identity:
                self._end_cut()

    def _listen(self) -> None:
        try:
            while True:
                self._read(_SLICE_S)
                self._check()
        except Exception as error:  # nobody else would see to it that the lease is kept
            self._end(f"its lease could not be watched ({type(error).__name__}: {error})")

    def _read(self, seconds: float = _SLICE_S) -> None:
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
            try:
                message = decode(line, PULSE_OF_WORKER)
            except ValueError:  # written by a process of the job's own
                continue
            self._hear(message)

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
