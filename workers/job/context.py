"""What a model talks to inside a job process: its two sockets, and the context on top of them.

The process knows neither the database nor the store. Events leave as JSON lines through one
socket. Through the other, the pulse, the worker sends a beat whenever it has renewed the lease,
and a thread answers that does nothing else: a process that does not answer is frozen, and its
worker kills it. No report goes through the pulse, so that no amount of output holds an answer up.
A beat says until when the lease lasts. A process that has heard of no longer one kills itself
then, before anybody else can have begun the job anew.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
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

from cvq import checkpoints
from cvq.errors import PermanentError, UsageError
from cvq.names import Names, check_labels, safe_name
from cvq.states import DISPENSABLE, Role

log = logging.getLogger("cvq.job")

# A checkpoint may cost one part in so many of the job's time.
_CHECKPOINT_SHARE = 20


# A line that one call can write without its being mixed with another process's.
LONGEST_EVENT = 60_000
EXIT_CUT = 94  # the connection is closed: by the job itself, or nobody is left who could ask

_SLICE_S = 0.25
_INT64 = 1 << 63
_METRICS_AT_ONCE = 200
_LONGEST_METRIC = 100  # characters that the database has for its name


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

    `checkpoint` is the file to resume from; `warned` is, by the keys of `inputs`, what trainings
    say of their models; `notes` are lines for the job's log.
    """

    job_id: int
    attempt: int
    kind: str
    spec: dict[str, Any]
    spec_hash: str
    inputs: dict[str, str]
    warned: dict[str, list[str]]
    folder: str
    cache: str
    device: str
    threads: int
    environment: dict[str, str]
    kinds: list[str]
    checkpoint: str | None
    checkpoint_every: float
    max_pixels: int
    notes: list[str]


class Control:
    """The job's ends of both sockets: events out; beats, answers and the word stop on the pulse.

    A child that the job forks inherits this. It may report, as the job; it answers no beats, and
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
        self._answer(b"begun\n")
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
        self.send("confirm")
        self._confirmed.wait()  # without a word, `_listen` ends this process with the lease

    def send(self, event: str, **values: Any) -> None:
        """Send one event, also from a thread or a child of the job's."""
        self._send(json.dumps({"event": event, **values}).encode())

    def send_result(self, encoded: bytes | None) -> None:
        """Send the result, or say that it lies in its file."""
        self._send(b'{"event": "result", "result": %s}' % (encoded or b'null, "in_file": true'))

    def _send(self, line: bytes) -> None:
        if len(line) > LONGEST_EVENT:
            raise PermanentError(
                f"a report of {len(line)} bytes at once: no more than {LONGEST_EVENT} are taken"
            )
        self._check_lease()
        with self._lock:
            self._check_sockets()
            try:
                # One call for a whole line, which the kernel does not mix with another process's.
                self._events.sendall(line + b"\n")
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
        while True:
            self._read(_SLICE_S)
            self._check_lease()

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
        *words, self._rest = (self._rest + heard).split(b"\n")
        for word in words:
            self._hear(word)

    def _hear(self, said: bytes) -> None:
        word, _, value = said.partition(b" ")
        if word == b"beat":
            # An old beat, read late, prolongs nothing: it says itself how long it counts.
            self._expires = max(self._expires or 0.0, float(value))
            self._answer(b"alive\n")
        elif word == b"stop":
            self.stop_requested.set()
        elif word == b"confirmed":
            self._confirmed.set()

    def _answer(self, word: bytes) -> None:
        with contextlib.suppress(OSError):
            self._pulse.send(word, socket.MSG_DONTWAIT)

    def _end(self, why: str) -> NoReturn:
        """End at once: somebody else may have the job soon. The supervisor ends the children."""
        if self.is_own:
            self._answer(b"abandoned " + why.encode() + b"\n")
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


def _refusal(name: str, role: str, media_type: str | None) -> str | None:
    """What is wrong with the description of an artifact, if anything."""
    if role == Role.CHECKPOINT:
        return f"artifact {name}: the role {Role.CHECKPOINT} is cvq's own, give another word"
    try:
        safe_name(name)
        check_labels(name, role, media_type)
    except UsageError as error:
        return str(error)
    return None


def _int64(name: str, value: int) -> int:
    """A whole number that a database can hold.

    Raises:
        PermanentError: it is larger than 64 bits hold.
    """
    number = int(value)
    if not -_INT64 <= number < _INT64:
        raise PermanentError(f"{name} is a number beyond 2**63, which no database can hold")
    return number


def _identity(owned: socket.socket) -> tuple[int, int] | None:
    """What tells a socket from whatever may have its descriptor later."""
    try:
        status = os.fstat(owned.fileno())
    except OSError:
        return None
    return status.st_dev, status.st_ino


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
        self._not_finite: set[str] = set()  # metrics that were told of in the log
        self._cut: set[str] = set()  # the same, for their names
        self._control = control
        self._resumable = False
        self._due_at = time.monotonic() + request.checkpoint_every

    def progress(
        self, done: int, total: int, unit: str = "step", *, share: float | None = None
    ) -> None:
        """Say that `done` of `total` units are done, and so much of the work."""
        self._control.send(
            "progress",
            done=_int64("done", done),
            total=_int64("total", total),
            unit=str(unit),
            share=None if share is None or not 0 <= share <= 1 else float(share),
        )
        self._stop_if_asked()

    def metrics(self, step: int, **values: float) -> None:
        """Record named numbers at a step; the loss as it is (a tensor with a gradient) will do."""
        numbers = [(name, self._number(name, value, step)) for name, value in values.items()]
        for start in range(0, len(numbers), _METRICS_AT_ONCE):
            some = dict(numbers[start : start + _METRICS_AT_ONCE])
            self._control.send("metrics", step=_int64("step", step), values=some, time=time.time())
        self._stop_if_asked()

    def _number(self, name: str, value: Any, step: int) -> float:
        if not name.strip():
            raise PermanentError(f"a metric at step {step} has no name")
        if len(name) > _LONGEST_METRIC and name not in self._cut:
            self._cut.add(name)
            log.warning(
                "the metric %s… has a name of %d characters: those after %d are left out",
                name[:30], len(name), _LONGEST_METRIC,
            )  # fmt: skip
        try:
            # PyTorch warns of a tensor with a gradient.
            number = float(value.detach() if hasattr(value, "detach") else value)
        except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
            raise PermanentError(f"metric {name} at step {step} is no number: {error}") from error
        if not math.isfinite(number) and name not in self._not_finite:
            self._not_finite.add(name)
            log.warning("metric %s is %s at step %s: nothing is stored there", name, number, step)
        return number

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
            self._publish(path, name, Role.CHECKPOINT, None)
        cost = time.monotonic() - started
        pause = max(self._request.checkpoint_every, _CHECKPOINT_SHARE * cost)
        self._due_at = time.monotonic() + pause
        if self._control.stop_requested.is_set():
            log.info("stopped after step %d, as the worker asked", step)
            raise StopRequestedError

    def _new_path(self, name: str) -> Path:
        # A folder for each, as the worker may not have fetched the last file of this name yet.
        self._published += 1
        # A child of the job's counts for itself.
        path = self._out / f"{os.getpid()}-{self._published}" / Names().place(name)
        path.parent.mkdir(parents=True)
        return path

    def _publish(self, path: Path, name: str, role: str, media_type: str | None) -> None:
        self._control.send("artifact", path=str(path), name=name, role=role, media_type=media_type)

    def _stop_if_asked(self) -> None:
        # A job that can resume is stopped where it saves itself, and nowhere else.
        if self._control.stop_requested.is_set() and not self._resumable:
            raise StopRequestedError
