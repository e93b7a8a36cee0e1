"""What a model talks to inside a job process: the control socket, and the context on top of it.

The process knows neither the database nor the store. Events leave as JSON lines through the
control socket. Through the same socket the worker sends a beat whenever it has renewed the lease,
and the process answers it: one that does not answer is frozen, and its worker kills it. A beat
says until when the lease lasts. A process that has heard of no longer one kills itself then,
before anybody else can have begun the job anew.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from cvq.errors import PermanentError, UsageError
from cvq.jobs import CHECKPOINT, DISPENSABLE
from cvq.names import Names, check_labels, safe_name

from . import checkpoints

log = logging.getLogger("cvq.job")

# A checkpoint may cost one part in so many of the job's time.
_CHECKPOINT_SHARE = 20


_SLICE_S = 0.25


def lease_clock() -> float:
    """Seconds on a clock that worker and job share, and that no setting of the time moves.

    On Linux it goes on while the machine sleeps, as the leases in the database do.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


class StopRequestedError(BaseException):
    """The worker wants a stop. Not an Exception: a model's own `except` must not eat it."""


@dataclass(frozen=True)
class Request:
    """What a job process is told, through a JSON file.

    `expires` is when the lease ends, on `lease_clock`; `checkpoint` is the file to resume from;
    `notes` are lines for the job's log.
    """

    job_id: int
    attempt: int
    kind: str
    spec: dict[str, Any]
    spec_hash: str
    inputs: dict[str, str]
    folder: str
    cache: str
    device: str
    threads: int
    environment: dict[str, str]
    kinds: list[str]
    expires: float
    checkpoint: str | None
    checkpoint_every: float
    notes: list[str]


class Control:
    """The job's end of the control socket: events and answers out, beats and the word stop in.

    Args:
        descriptor: of the socket.
        expires: when the lease ends if no beat comes, on `lease_clock`.
    """

    def __init__(self, descriptor: int, expires: float) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._rest = b""
        self._expires = expires
        self._lock = threading.Lock()
        self.stop_requested = threading.Event()
        self._confirmed = threading.Event()

    def confirm(self) -> None:
        """Ask the worker to store all that was sent, and wait for its word that it has."""
        self._confirmed.clear()
        self.send("confirm")
        self._confirmed.wait()  # without a word, `_listen` ends this process with the lease

    def send(self, event: str, **values: Any) -> None:
        """Send one event; the lock keeps lines whole when threads of the job report, too."""
        self._check_lease()
        line = json.dumps({"event": event, **values}).encode() + b"\n"
        with self._lock:
            self._socket.sendall(line)

    def watch(self) -> None:
        """Start listening to the worker, and look at the lease whenever the process wakes."""
        # A process that was stopped must not take one more step under a lease that ended.
        signal.signal(signal.SIGCONT, lambda *_: self._check_lease())
        self._read(0)  # the beats of the time that this process took to start
        threading.Thread(target=self._listen, name="cvq-lease", daemon=True).start()

    def _check_lease(self) -> None:
        if lease_clock() >= self._expires:
            self._end("the lease ended")

    def _listen(self) -> None:
        while True:
            self._read(_SLICE_S)
            self._check_lease()

    def _read(self, seconds: float) -> None:
        """Wait at most so long for the worker, and hear what it says."""
        if not self._poll.poll(seconds * 1000):
            return
        try:
            heard = self._socket.recv(1 << 16)
        except OSError:
            heard = b""
        if not heard:
            self._end("the worker has gone")
        *words, self._rest = (self._rest + heard).split(b"\n")
        for word in words:
            self._hear(word)

    def _hear(self, said: bytes) -> None:
        word, _, value = said.partition(b" ")
        if word == b"beat":
            # An old beat, read late, prolongs nothing: it says itself how long it counts.
            self._expires = max(self._expires, float(value))
            with contextlib.suppress(OSError):
                self.send("alive")
        elif word == b"stop":
            self.stop_requested.set()
        elif word == b"confirmed":
            self._confirmed.set()

    def _end(self, why: str) -> NoReturn:
        """End at once, and the job's own children, too: somebody else may have the job soon."""
        with contextlib.suppress(OSError):
            # On a line of its own, should another thread have been in the middle of one.
            line = b"\n" + json.dumps({"event": "abandoned", "why": why}).encode() + b"\n"
            self._socket.send(line, socket.MSG_DONTWAIT)
        os.killpg(0, signal.SIGKILL)
        os._exit(1)


def _refusal(name: str, role: str, media_type: str | None) -> str | None:
    """What is wrong with the description of an artifact, if anything."""
    if role == CHECKPOINT:
        return f"artifact {name}: the role {CHECKPOINT} is cvq's own, give another word"
    try:
        safe_name(name)
        check_labels(name, role, media_type)
    except UsageError as error:
        return str(error)
    return None


class JobContext:
    """The `Context` of a job that runs under a worker."""

    def __init__(self, request: Request, control: Control) -> None:
        self.job_id = request.job_id
        self.attempt = request.attempt
        self.device = request.device
        self.cache = Path(request.cache)
        self._request = request
        self._out = Path(request.folder) / "out"
        self._published = 0
        self._control = control
        self._resumable = False
        self._due_at = time.monotonic() + request.checkpoint_every

    def progress(self, done: int, total: int, unit: str = "step") -> None:
        """Say that `done` of `total` units are done."""
        self._control.send("progress", done=int(done), total=int(total), unit=unit)
        self._stop_if_asked()

    def metrics(self, step: int, **values: float) -> None:
        """Record named numbers at a step."""
        numbers = {name: float(value) for name, value in values.items()}
        self._control.send("metrics", step=int(step), values=numbers, time=time.time())
        self._stop_if_asked()

    @contextmanager
    def artifact(
        self, name: str, *, role: str = "result", media_type: str | None = None
    ) -> Iterator[Path]:
        """Give a path to write; when the block ends without an error, the file is published."""
        problem = _refusal(name, role, media_type)
        if problem and role not in DISPENSABLE:
            raise PermanentError(problem)
        path = self._new_path("refused" if problem else safe_name(name))
        yield path
        if not problem and (path.is_symlink() or not path.is_file()):
            problem = f"artifact {name}: the job wrote no regular file"
        if not problem:
            self._publish(path, safe_name(name), role, media_type)
        elif role in DISPENSABLE:
            log.warning("%s is not kept, the job goes on: %s", role, problem)
        else:
            raise PermanentError(problem)
        self._stop_if_asked()

    def confirm(self) -> None:
        """Wait until all that was reported is stored, and the job is known to be still ours."""
        self._control.confirm()
        self._stop_if_asked()

    def resume(self) -> checkpoints.Checkpoint | None:
        """The last checkpoint of an earlier attempt, or None where the job begins anew."""
        self._resumable = True
        if self._request.checkpoint is None:
            return None
        found = checkpoints.read(
            Path(self._request.checkpoint),
            kind=self._request.kind,
            spec_hash=self._request.spec_hash,
        )
        log.info("resumed after step %d, from %s", found.step, Path(self._request.checkpoint).name)
        return found

    def checkpoint_due(self) -> bool:
        """Whether it is time for the next checkpoint, or the last moment for one."""
        return time.monotonic() >= self._due_at or self._control.stop_requested.is_set()

    def checkpoint(self, step: int, **state: Any) -> None:
        """Save everything that another attempt needs to go on after `step`."""
        started = time.monotonic()
        name = checkpoints.file_name(step)
        path = self._new_path(name)
        try:
            checkpoints.write(
                path,
                kind=self._request.kind,
                spec_hash=self._request.spec_hash,
                step=step,
                state=state,
            )
        except OSError as error:  # the job is worth more than its checkpoint
            log.warning("no checkpoint after step %d, the job goes on: %s", step, error)
        else:
            self._publish(path, name, CHECKPOINT, None)
        cost = time.monotonic() - started
        pause = max(self._request.checkpoint_every, _CHECKPOINT_SHARE * cost)
        self._due_at = time.monotonic() + pause
        if self._control.stop_requested.is_set():
            log.info("stopped after step %d, as the worker asked", step)
            raise StopRequestedError

    def _new_path(self, name: str) -> Path:
        # A folder for each, as the worker may not have fetched the last file of this name yet.
        self._published += 1
        path = self._out / str(self._published) / Names().place(name)
        path.parent.mkdir(parents=True)
        return path

    def _publish(self, path: Path, name: str, role: str, media_type: str | None) -> None:
        self._control.send("artifact", path=str(path), name=name, role=role, media_type=media_type)

    def _stop_if_asked(self) -> None:
        # A job that can resume is stopped where it saves itself, and nowhere else.
        if self._control.stop_requested.is_set() and not self._resumable:
            raise StopRequestedError
