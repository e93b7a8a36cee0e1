"""A worker's hold on one job's process: its start, its pulse, what it says, and its end.

Three sockets and two pipes lead to it. Lines of output and events come as fast as they are stored;
the pulse and the leash are read whatever else waits. Nothing here waits for the end of a pipe,
which a process that the job has started may hold: when the supervisor says that all are gone,
everything that they wrote lies in the pipes already.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from ..launch.launcher import ForkServer, JobEnds, Launcher
from ..protocol import LONGEST_EVENT, read_event
from .lines import LineSplitter

_READ = 1 << 16
_DRAIN_BYTES = 4 << 20  # more is no rest, but somebody who goes on writing
_STALL_S = 0.5  # a longer turn of the watching thread says that the worker itself was held up
_CONFIRM_S = 5.0  # what the news of an end may take after the process has hung up
_UNBORN_S = 600.0  # what a process from scratch may take to load Python and PyTorch
_SLOW_S = 30.0  # without an answer from a process that was not stopped


class Silence:
    """How long a process has answered nothing although it could have."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._asked = False
        self._last = time.monotonic()

    def ask(self) -> None:
        """A beat was sent."""
        self._asked = True

    def heard(self) -> None:
        """Something was answered."""
        self._asked, self.seconds = False, 0.0

    def tick(self) -> None:
        """Time has passed, and all that was said until now is read."""
        now = time.monotonic()
        # While this thread itself was held up, the process may have answered.
        passed, self._last = min(now - self._last, _STALL_S), now
        if self._asked:
            self.seconds += passed


class JobProcess:
    """One process of a job, from before its start until after its end.

    `beat`, `tell` and `terminate` may be called from other threads; `launch` from one, once.

    Args:
        launcher: starts it.
        output: gives for `stdout` and `stderr` what takes their lines.
        hear: takes events.
        begun: called when the process runs.
    """

    def __init__(
        self,
        launcher: Launcher,
        *,
        output: Callable[[str], Callable[[bytes], None]],
        hear: Callable[[dict[str, Any]], None],
        begun: Callable[[], None],
    ) -> None:
        self.pid: int | None = None
        self.end: dict[str, Any] | None = None
        self.gone = False  # nothing more will be heard
        self.abandoned: str | None = None  # why the process has ended itself
        self.silence = Silence()
        self._launcher = launcher
        self._hear, self._begun = hear, begun
        self._server: ForkServer | None = None
        self._launched_at: float | None = None
        self._runs = False
        self._main: psutil.Process | None = None
        self._family: list[psutil.Process] = []
        self._hung_up_at: float | None = None
        self._open_all(output)

    def _open_all(self, output: Callable[[str], Callable[[bytes], None]]) -> None:
        self._own, self._jobs = contextlib.ExitStack(), contextlib.ExitStack()
        try:
            self._open(output)
        except BaseException:  # out of descriptors: none of those that there were is kept
            self._jobs.close()
            self._own.close()
            raise

    def _open(self, output: Callable[[str], Callable[[bytes], None]]) -> None:
        ours: dict[str, int] = {}
        theirs: dict[str, int] = {}
        for name in ("stdout", "stderr"):
            ours[name], theirs[name] = os.pipe()
            self._own.callback(os.close, ours[name])
            self._jobs.callback(os.close, theirs[name])
        sockets: dict[str, socket.socket] = {}
        for name in ("events", "pulse", "leash"):
            sockets[name], job_end = socket.socketpair()
            ours[name], theirs[name] = sockets[name].fileno(), job_end.fileno()
            self._own.enter_context(sockets[name])
            self._jobs.enter_context(job_end)
        self._pulse, self._leash = sockets["pulse"], sockets["leash"]
        self._ends = JobEnds(**theirs)
        takers = {
            ours["stdout"]: LineSplitter(output("stdout")),
            ours["stderr"]: LineSplitter(output("stderr")),
            ours["events"]: LineSplitter(self._on_event, LONGEST_EVENT + 1),
            ours["pulse"]: LineSplitter(self._on_pulse),
            ours["leash"]: LineSplitter(self._on_leash),
        }
        self._feed = {descriptor: taker.feed for descriptor, taker in takers.items()}
        self._speech = {ours["stdout"], ours["stderr"], ours["events"]}
        self._hang_ups = {ours["events"], ours["pulse"]}
        self._selector = self._own.enter_context(selectors.DefaultSelector())
        for descriptor in self._feed:
            os.set_blocking(descriptor, False)
            self._selector.register(descriptor, selectors.EVENT_READ)
        self._unread = set(self._feed)

    # ------------------------------------------------------------ start

    def launch(self, job_file: Path) -> None:
        """Ask for the process to be started; may wait for a fork server that loads."""
        with self._jobs:
            self._launched_at = time.monotonic()
            self._server = self._launcher.start(job_file, self._ends)

    def end_frozen_server(self) -> None:
        """End the fork server that was asked for this process where it does nothing."""
        if self.pid is None and self._server is not None and self._launched_at is not None:
            waited = time.monotonic() - self._launched_at
            if self._server.frozen(waited):
                self._launcher.abandon(self._server)

    # ------------------------------------------------------------ what it is told

    def beat(self, until: float) -> None:
        """Say until when the lease lasts; before the process runs it could not hear it."""
        if self._runs:
            self.silence.ask()
            self.tell(f"beat {until}\n".encode())

    def tell(self, word: bytes) -> None:
        """Say something on the pulse; a process that reads nothing misses it."""
        with contextlib.suppress(OSError):
            self._pulse.send(word, socket.MSG_DONTWAIT)

    def terminate(self) -> None:
        """SIGTERM to the process and its group."""
        with contextlib.suppress(OSError):
            self._leash.send(b"stop\n", socket.MSG_DONTWAIT)

    def kill(self) -> None:
        """Kill the process and all that it has started, by its supervisor."""
        with contextlib.suppress(OSError):
            self._leash.send(b"kill\n", socket.MSG_DONTWAIT)

    def kill_directly(self) -> None:
        """Kill them where the supervisor is frozen or dead; nothing more will be heard."""
        found = list(self._family)
        for process in self._family:
            with contextlib.suppress(psutil.Error):
                found += process.children(recursive=True)
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()  # psutil asks first whether it is still the same
        self.gone = True

    # ------------------------------------------------------------ what it says

    def read(self, seconds: float, *, paused: bool) -> None:
        """Wait at most so long for anything, and take it; output and events not while `paused`."""
        for descriptor in self._speech & self._unread:
            registered = descriptor in self._selector.get_map()
            if paused and registered:
                self._selector.unregister(descriptor)
            elif not paused and not registered:
                self._selector.register(descriptor, selectors.EVENT_READ)
        for key, _ in self._selector.select(seconds):
            self._take(key.fd)
        self.silence.tick()

    def drain(self) -> None:
        """Take what is left in the pipes of a process that has ended."""
        for descriptor in self._speech | self._hang_ups:
            taken = 0
            while descriptor in self._unread and taken < _DRAIN_BYTES:
                if not (size := self._take(descriptor)):
                    break
                taken += size
            if descriptor in self._unread:  # open elsewhere, or too much: the last line is cut
                self._feed[descriptor](b"")

    def _take(self, descriptor: int) -> int:
        try:
            data = os.read(descriptor, _READ)
        except BlockingIOError:
            return 0
        except OSError:  # a process that was killed resets its sockets
            data = b""
        self._feed[descriptor](data)
        if not data:
            self._unread.discard(descriptor)
            with contextlib.suppress(KeyError):
                self._selector.unregister(descriptor)
            if descriptor in self._hang_ups and self._hung_up_at is None:
                self._hung_up_at = time.monotonic()
            if descriptor == self._leash.fileno():
                self._lose_supervisor()
        return len(data)

    def _lose_supervisor(self) -> None:
        if self.end is None:
            self.kill_directly()
        self.gone = True

    def _on_leash(self, line: bytes) -> None:
        message = json.loads(line)
        if "pid" not in message:
            self.end, self.gone = message, True
            return
        self.pid = message["pid"]
        self._main = _process(message["pid"])  # so that they are known again later
        found = (self._main, _process(message["supervisor"]))
        self._family = [process for process in found if process is not None]

    def _on_pulse(self, line: bytes) -> None:
        self.silence.heard()
        word, _, rest = line.partition(b" ")
        if word == b"begun":
            self._runs = True
            self._begun()
        elif word == b"abandoned":
            self.abandoned = rest.decode("utf-8", "replace")

    def _on_event(self, line: bytes) -> None:
        if not line:
            return
        try:
            self._hear(read_event(line))
        except (ValueError, OverflowError):
            # Cut off by a kill, or written by who has found the socket: the job's own loss.
            shown = line[:200].decode("utf-8", "replace")
            self._hear({"event": "nonsense", "line": shown})

    # ------------------------------------------------------------ how it is

    def frozen(self, lease: float) -> float | None:
        """For how long the process has been frozen, or None where it is not.

        One that was stopped is frozen after a lease. Any other may be slow: in C code with
        Python's lock in hand, or on a machine with too much to do.
        """
        silent, patience = self.silence.seconds, max(lease, _SLOW_S)
        if self.pid is not None and not self._runs and self._launched_at is not None:
            silent, patience = time.monotonic() - self._launched_at, _UNBORN_S
        if silent > lease and self._status() == psutil.STATUS_STOPPED:
            return silent
        return silent if silent > patience else None

    def hung_up(self) -> bool:
        """Whether it has closed its sockets, and lives on."""
        if self._hung_up_at is None or time.monotonic() < self._hung_up_at + _CONFIRM_S:
            return False
        if self._status() in (None, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            self.kill_directly()  # it has ended, and its supervisor is frozen
            return False
        return True

    def _status(self) -> str | None:
        if self._main is None:
            return None
        with contextlib.suppress(psutil.Error):
            status: str = self._main.status()
            return status
        return None

    def close(self) -> None:
        """Give back all descriptors; a process that still runs is killed with that."""
        self._own.close()


def _process(pid: int) -> psutil.Process | None:
    """The process of a number, or None where it has ended already."""
    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None
