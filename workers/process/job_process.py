"""A worker's hold on one job process: its start, its pulse, what it says, and its end."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import psutil

from cvq.ids import AttemptId

from ..launch.launcher import ForkServer, Launcher
from ..protocol import (
    EVENTS,
    LONGEST_EVENT,
    PULSE_OF_JOB,
    REPORTS,
    Abandoned,
    Beat,
    Begun,
    Ended,
    Event,
    Kill,
    Loaded,
    Ping,
    PulseOfWorker,
    Served,
    Started,
    Terminate,
    Up,
    decode,
    encode,
)
from .channels import Channels
from .exit_status import OomWatch, ProcessEnd
from .lines import LineSplitter
from .silence import Silence

log = logging.getLogger("cvq.worker")

Handler: TypeAlias = Callable[[Event | Begun], None]

_CONFIRM_S = 5.0  # what the news of an end may take after the process has hung up
_UNBORN_S = 600.0  # what a process from scratch may take to load Python and PyTorch
_SLOW_S = 30.0  # without an answer from a process that was not stopped


class JobProcess:
    """One process for jobs, from before its start until after its end.

    It knows no job. What the process says about an attempt goes to the handler that is registered
    for it; what it says about any other is no report. `beat`, `ping`, `tell` and `terminate` may
    be called from other threads; `launch` from one, once.

    Attributes:
        pid: the process's number; None before it runs.
        gone: whether nothing more will be heard.
        loaded, served: what a warm process has said of its last micro-batch.

    Args:
        launcher: starts it.
        output: gives for `stdout` and `stderr` what takes their lines.
    """

    def __init__(
        self, launcher: Launcher, *, output: Callable[[str], Callable[[bytes], None]]
    ) -> None:
        self.pid: int | None = None
        self.gone = False
        self.loaded: Loaded | None = None
        self.served: Served | None = None
        self._end: Ended | None = None
        self._abandoned: str | None = None
        self._silence = Silence()
        self._oom = OomWatch()
        self._launcher = launcher
        self._handlers: dict[AttemptId, Handler] = {}
        self._server: ForkServer | None = None
        self._launched_at: float | None = None
        self._runs = False
        self._main: psutil.Process | None = None
        self._family: list[psutil.Process] = []
        self._warn = output("stderr")
        self._channels = Channels(
            {
                "stdout": LineSplitter(output("stdout")),
                "stderr": LineSplitter(output("stderr")),
                "events": LineSplitter(self._on_event, LONGEST_EVENT + 1),
                "pulse": LineSplitter(self._on_pulse),
                "leash": LineSplitter(self._on_leash),
            }
        )

    def register(self, attempt: AttemptId, handler: Handler) -> None:
        """Let an attempt's messages go to `handler`, in the thread that calls `read`."""
        self._handlers[attempt] = handler

    def forget(self, attempt: AttemptId) -> None:
        """What is said about an attempt from now on is no report."""
        self._handlers.pop(attempt, None)

    # ------------------------------------------------------------ start

    def launch(self, job_file: Path) -> None:
        """Ask for the process to be started; may wait for a fork server that loads."""
        with self._channels.hand_over() as ends:
            self._launched_at = time.monotonic()
            self._server = self._launcher.start(job_file, ends)

    def end_frozen_server(self) -> None:
        """End the fork server that was asked for this process where it does nothing."""
        if self.pid is None and self._server is not None and self._launched_at is not None:
            waited = time.monotonic() - self._launched_at
            if self._server.frozen(waited):
                self._launcher.abandon(self._server)

    # ------------------------------------------------------------ what it is told

    def beat(self, attempt: AttemptId, until: float) -> None:
        """Say until when a lease lasts; before the process runs it could not hear it."""
        self._oom.look(self.pid)
        if self._runs:
            self._silence.ask()
            self.tell(Beat(*attempt, until))

    def ping(self) -> None:
        """Let a warm process show that it lives."""
        self._oom.look(self.pid)
        if self._runs:
            self._silence.ask()
            self.tell(Ping())

    @property
    def runs(self) -> bool:
        """Whether the process has begun, and hears what it is told."""
        return self._runs

    def tell(self, message: PulseOfWorker) -> None:
        """Say something on the pulse; a process that reads nothing misses it."""
        self._channels.send("pulse", encode(message))

    def terminate(self) -> None:
        """SIGTERM to the process and its group."""
        self._channels.send("leash", encode(Terminate()))

    def kill(self) -> None:
        """Kill the process and all that it has started, by its supervisor."""
        self._channels.send("leash", encode(Kill()))

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
        self._channels.read(seconds, paused=paused)
        if "leash" in self._channels.ended:
            self._lose_supervisor()
        self._silence.tick()

    def drain(self) -> None:
        """Take what a process that has ended has left."""
        self._channels.drain()

    def drain_output(self) -> None:
        """Take what a process has printed until now."""
        self._channels.drain_output()

    def _lose_supervisor(self) -> None:
        if self._end is None:
            self.kill_directly()
        self.gone = True

    def _on_leash(self, line: bytes) -> None:
        try:
            report = decode(line, REPORTS)
        except ValueError:  # cut off: the leash ends with it, and says so
            return
        match report:
            case Started(pid, supervisor):
                self.pid = pid
                self._main = _process(pid)  # so that they are known again later
                found = (self._main, _process(supervisor))
                self._family = [process for process in found if process is not None]
            case Ended() as end:
                self._end, self.gone = end, True

    def _on_pulse(self, line: bytes) -> None:
        self._silence.heard()
        try:
            message = decode(line, PULSE_OF_JOB)
        except ValueError:  # written by who has found the socket
            return
        if isinstance(message, Abandoned):
            self._abandoned = message.why
        elif isinstance(message, Up):
            self._runs = True
        elif isinstance(message, Begun) and message.attempt_id in self._handlers:
            self._runs = True
            self._handlers[message.attempt_id](message)
        elif isinstance(message, Begun):
            log.warning("job %s attempt %s begins in a process of others", *message.attempt_id)

    def _on_event(self, line: bytes) -> None:
        if not line:
            return
        try:
            event = decode(line, EVENTS)
            if isinstance(event, Loaded):
                self.loaded = event
                return
            if isinstance(event, Served):
                self.served = event
                return
            handler = self._handlers[event.attempt_id]
        except (ValueError, KeyError):
            # Cut off by a kill, or written by who has found the socket: the job's own loss.
            shown = line[:200].decode("utf-8", "replace")
            note = f"WARNING cvq.worker: the job sent what is no report: {shown}"
            self._warn(note.encode())
        else:
            handler(event)

    # ------------------------------------------------------------ how it is

    @property
    def end(self) -> ProcessEnd | None:
        """How it ended; None where it never ran."""
        if self.pid is None:
            return None
        return ProcessEnd(self._end, self._abandoned, out_of_memory=self._oom.killed())

    def frozen(self, lease: float) -> float | None:
        """For how long the process has been frozen, or None where it is not.

        One that was stopped is frozen after a lease. Any other may be slow: in C code with
        Python's lock in hand, or on a machine with too much to do.
        """
        silent, patience = self._silence.seconds, max(lease, _SLOW_S)
        if self.pid is not None and not self._runs and self._launched_at is not None:
            silent, patience = time.monotonic() - self._launched_at, _UNBORN_S
        if silent > lease and self._status() == psutil.STATUS_STOPPED:
            return silent
        return silent if silent > patience else None

    def hung_up(self) -> bool:
        """Whether it has closed its sockets, and lives on."""
        ended = self._channels.ended
        times = [ended[name] for name in ("events", "pulse") if name in ended]
        if not times or time.monotonic() < min(times) + _CONFIRM_S:
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

    @property
    def memory(self) -> int | None:
        """Bytes of memory that the process itself holds; None where it has ended, or not begun."""
        if self._main is None:
            return None
        with contextlib.suppress(psutil.Error):
            return int(self._main.memory_info().rss)
        return None

    def close(self) -> None:
        """Give back all descriptors; a process that still runs is killed with that."""
        self._channels.close()


def _process(pid: int) -> psutil.Process | None:
    """The process of a number, or None where it has ended already."""
    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None
