"""One attempt of one job, from the claim to the fenced finish, watched from its slot's thread.

    stage inputs ─▶ start the process ─▶ pump its output and events into the store ─▶ finish

Everything is written under the attempt's lease. The first write that is refused ends the process:
somebody else has the job now.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import shutil
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cvq import store
from cvq.artifacts import ArtifactStore
from cvq.db import Database
from cvq.errors import CvqError, DatabaseError, LeaseLostError, PermanentError
from cvq.jobs import Artifact, Job, Outcome
from cvq.kinds import get_kind, make_spec
from cvq.settings import Settings
from cvq.tables import CANCELLED, FAILED, QUEUED, SUCCEEDED

from .devices import Slot
from .forkserver import Launcher
from .job_process import Request
from .lines import LineSplitter, Progress

log = logging.getLogger("cvq.worker")

_FLUSH_S = 0.2  # how often output reaches the store
_STOP_S = 0.5  # what a cancelled process gets between SIGTERM and SIGKILL


class Attempt:
    """Runs a claimed job in a process of its own.

    `beat`, `cancel`, `stop` and `lose` are called from the worker's heartbeat thread; `run` does
    everything else in the slot's thread.
    """

    def __init__(
        self,
        job: Job,
        slot: Slot,
        *,
        settings: Settings,
        database: Database,
        artifacts: ArtifactStore,
        launcher: Launcher,
        worker: str,
    ) -> None:
        self.job = job
        self.lease = job.lease
        self.leased_until = time.monotonic() + settings.lease
        self._slot = slot
        self._settings = settings
        self._db = database
        self._artifacts = artifacts
        self._launcher = launcher
        self._worker = worker
        self._folder = settings.home / "scratch" / f"{job.id}-{job.attempt}"
        self._control, self._job_control = socket.socketpair()
        self._kill_at: float | None = None
        self._verdict: Outcome | None = None
        self._lost = False
        self._state_lock = threading.Lock()
        self._pid: int | None = None
        self._end: dict[str, Any] | None = None
        self._said: dict[str, Any] = {}
        self._progress = Progress()
        self._logs: list[store.LogLine] = []
        self._metrics: list[store.MetricPoint] = []
        self._uploads: list[Artifact] = []
        self._upload_error: CvqError | None = None
        self._seq = 0

    # ------------------------------------------------------------ from the heartbeat thread

    def beat(self) -> None:
        """The lease was renewed: tell the process."""
        self.leased_until = time.monotonic() + self._settings.lease
        with contextlib.suppress(OSError):
            self._control.send(b"beat\n", socket.MSG_DONTWAIT)

    def cancel(self) -> None:
        """Somebody wants the job cancelled."""
        self._condemn(Outcome(CANCELLED), _STOP_S)

    def stop(self, grace: float) -> None:
        """The worker drains: the process may save its work for `grace` seconds."""
        with contextlib.suppress(OSError):
            self._control.send(b"stop\n", socket.MSG_DONTWAIT)
        self._condemn(Outcome(QUEUED, reason="preempted"), grace)

    def lose(self) -> None:
        """The lease is gone: nothing more is written, and the process ends at once."""
        self._lost = True

    def _condemn(self, verdict: Outcome, grace: float) -> None:
        deadline = time.monotonic() + grace
        with self._state_lock:
            if self._verdict is None:
                self._verdict = verdict
                if verdict.state != QUEUED:
                    self._signal(signal.SIGTERM)
            self._kill_at = min(self._kill_at or deadline, deadline)

    # ------------------------------------------------------------ in the slot's thread

    def run(self) -> str | None:
        """Run the job to the end of this attempt.

        Returns:
            the job's new state, or None where the lease was lost.
        """
        try:
            outcome = self._run_process()
            return self._finish(outcome)
        except LeaseLostError as error:
            log.warning("%s", error)
            return None
        finally:
            self._kill()
            self._control.close()
            self._job_control.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _run_process(self) -> Outcome:
        try:
            job_file = self._stage()
        except LeaseLostError:
            raise
        except Exception as error:  # a store that is down, a plug-in that is gone
            permanent = isinstance(error, PermanentError) or not isinstance(error, CvqError)
            return Outcome(
                FAILED,
                reason="error",
                error=str(error) or type(error).__name__,
                traceback=traceback.format_exc(),
                retry=not permanent,
            )
        with contextlib.ExitStack() as stack:
            pipes = {}
            ends = []
            for stream in ("stdout", "stderr"):
                reading, writing = os.pipe()
                pipes[reading] = stream
                ends.append(writing)
                stack.callback(os.close, reading)
            try:
                status = self._launcher.start(
                    job_file, stdout=ends[0], stderr=ends[1], control=self._job_control.fileno()
                )
            finally:
                for end in ends:
                    os.close(end)
            self._job_control.close()
            stack.callback(os.close, status)
            self._pump(pipes, status)
        return self._judge()

    def _stage(self) -> Path:
        """Bring the inputs here and write down what the process needs to know."""
        kind = get_kind(self.job.kind, self._settings)
        spec = make_spec(kind, self.job.spec)
        gpu = self.job.device != "cpu"
        if self.job.device == "gpu" and self._slot.kind == "cpu":
            raise PermanentError("the job asks for a GPU, and this worker has none")
        shutil.rmtree(self._folder, ignore_errors=True)
        (self._folder / "out").mkdir(parents=True)
        cache = self._settings.home / "cache"
        inputs = {
            file.sha256: str(self._artifacts.fetch_input(file.sha256, cache))
            for file in spec.inputs()
            if file.sha256
        }
        request = Request(
            job_id=self.job.id,
            attempt=self.job.attempt,
            kind=self.job.kind,
            spec=self.job.spec,
            inputs=inputs,
            folder=str(self._folder),
            device=self._slot.kind if gpu else "cpu",
            threads=self._slot.threads,
            environment=self._slot.environment(gpu=gpu),
            kinds=self._settings.kinds,
            lease=self._settings.lease,
        )
        job_file = self._folder / "job.json"
        job_file.write_text(json.dumps(asdict(request)))
        return job_file

    def _pump(self, pipes: dict[int, str], status: int) -> None:
        """Carry output and events to the store until the process has ended and all is read."""
        with selectors.DefaultSelector() as selector:
            handlers: dict[int, Callable[[bytes], None]] = {}
            for reading, stream in pipes.items():
                handlers[reading] = LineSplitter(self._log_to(stream)).feed
            events = LineSplitter(self._on_event, limit=None)
            handlers[self._control.fileno()] = events.feed
            handlers[status] = LineSplitter(self._on_status, limit=None).feed
            for descriptor in handlers:
                selector.register(descriptor, selectors.EVENT_READ)
            flush_at = time.monotonic() + _FLUSH_S
            while selector.get_map():
                for key, _ in selector.select(max(0.0, flush_at - time.monotonic())):
                    data = self._read(key.fd)
                    handlers[key.fd](data)
                    if not data:
                        selector.unregister(key.fd)
                self._enforce()
                if time.monotonic() >= flush_at:
                    self._flush()
                    flush_at = time.monotonic() + _FLUSH_S
        self._flush()

    def _read(self, descriptor: int) -> bytes:
        try:
            if descriptor == self._control.fileno():
                return self._control.recv(1 << 16)
            return os.read(descriptor, 1 << 16)
        except OSError:  # a process that was killed resets its socket
            return b""

    def _enforce(self) -> None:
        """Kill the process when its time is up, whatever the reason."""
        if self._lost:
            raise LeaseLostError(*self.lease)
        limit = self.job.time_limit
        started = self._progress.started
        if limit is not None and time.monotonic() - started > limit:
            error = f"the time limit of {limit:g} s was reached"
            self._condemn(Outcome(FAILED, reason="timeout", error=error), 0)
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._kill()

    def _flush(self) -> None:
        """Write what has come in since the last time, under the lease."""
        progress = self._progress.take()
        if not (self._logs or self._metrics or self._uploads or progress):
            return

        def write() -> None:
            with self._db.write() as session:
                store.report(
                    session,
                    self.lease,
                    pid=self._pid,
                    progress=progress,
                    logs=self._logs,
                    metrics=self._metrics,
                    artifacts=self._uploads,
                )

        self._persist(write)
        self._logs, self._metrics, self._uploads = [], [], []

    def _persist(self, write: Callable[[], Any]) -> Any:
        """Write, and try again while the database is away and the lease lasts."""
        pause = 0.1
        while True:
            try:
                return write()
            except DatabaseError as error:
                log.warning("job %s: %s", self.job.id, error)
                if self._lost or time.monotonic() + pause > self.leased_until:
                    raise LeaseLostError(*self.lease) from error
                threading.Event().wait(pause)
                pause = min(pause * 2, 2.0)

    # ------------------------------------------------------------ what the process says

    def _log_to(self, stream: str) -> Callable[[bytes], None]:
        def add(line: bytes) -> None:
            self._seq += 1
            # A terminal shows what follows the last carriage return; Postgres takes no NUL.
            shown = line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]
            text = shown.replace("\x00", "\ufffd")
            self._logs.append(store.LogLine(self._seq, datetime.now(UTC), stream, text))

        return add

    def _on_status(self, line: bytes) -> None:
        message = json.loads(line)
        if "pid" in message:
            with self._state_lock:
                self._pid = message["pid"]
            self.beat()
        else:
            with self._state_lock:
                self._end = message

    def _on_event(self, line: bytes) -> None:
        message = json.loads(line)
        event = message.pop("event")
        if event == "progress":
            self._progress.update(**message)
        elif event == "metrics":
            when = datetime.fromtimestamp(message["time"], UTC)
            self._metrics += [
                store.MetricPoint(name, message["step"], value, when)
                for name, value in message["values"].items()
            ]
        elif event == "artifact":
            self._upload(**message)
        else:
            self._said[event] = message

    def _upload(self, path: str, name: str, role: str, media_type: str | None) -> None:
        file = Path(path)
        if not file.resolve().is_relative_to(self._folder.resolve()):
            self._upload_error = PermanentError(f"artifact {name} lies outside the job's folder")
            return
        try:
            artifact = self._artifacts.put_artifact(
                self.lease, file, name=name, role=role, media_type=media_type
            )
            self._uploads.append(artifact)
        except (CvqError, OSError) as error:
            self._upload_error = (
                error if isinstance(error, CvqError) else PermanentError(f"{name}: {error}")
            )

    # ------------------------------------------------------------ the end

    def _judge(self) -> Outcome:
        """How the attempt ended, from what the process said and how it died."""
        end = self._end or {}
        memory = end.get("peak_memory")
        done = self._said.get("result")
        if done is not None and end.get("exit") == 0 and not self._upload_error:
            return Outcome(SUCCEEDED, result=done["result"], peak_memory=memory)
        if self._verdict is not None:
            return Outcome(**asdict(self._verdict) | {"peak_memory": memory})
        if self._upload_error is not None:
            return Outcome(FAILED, "error", str(self._upload_error), peak_memory=memory)
        failure = self._said.get("error")
        if failure is not None:
            return Outcome(
                FAILED,
                reason=failure["reason"],
                error=failure["message"],
                traceback=failure["traceback"],
                retry=failure["retry"],
                peak_memory=memory,
            )
        return Outcome(FAILED, *_cause(end), retry=True, peak_memory=memory)

    def _finish(self, outcome: Outcome) -> str:
        def write() -> str:
            with self._db.write() as session:
                return store.finish(session, self.lease, outcome, self._worker)

        state: str = self._persist(write)
        return state

    def _signal(self, number: int) -> None:
        """Signal the process group; only while its number cannot be another's."""
        if self._pid is not None and self._end is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, number)

    def _kill(self) -> None:
        with self._state_lock:
            self._signal(signal.SIGKILL)


def _cause(end: dict[str, Any]) -> tuple[str, str]:
    """Reason and explanation of a process that ended without a word."""
    if end.get("signal"):
        name = signal.Signals(end["signal"]).name.removeprefix("SIG")
        return f"signal:{name}", f"the job's process was killed by signal {name}"
    if end.get("exit") is not None:
        return f"exit:{end['exit']}", f"the job's process left with exit code {end['exit']}"
    return "worker-lost", "the fork server died"
