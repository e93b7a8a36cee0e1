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
from typing import Any

from cvq import queries
from cvq.artifacts import ArtifactStore
from cvq.db import Database
from cvq.errors import CvqError, LeaseLostError, PermanentError, StoreError
from cvq.jobs import WORKER_LOST, Artifact, Job, Outcome
from cvq.settings import Settings
from cvq.tables import CANCELLED, FAILED, QUEUED, SUCCEEDED

from .death import OomWatch, cause_of
from .devices import Slot
from .forkserver import Launcher
from .job_context import lease_clock
from .lines import LineSplitter
from .record import Record
from .staging import stage

log = logging.getLogger("cvq.worker")

_FLUSH_S = 0.2  # how often output reaches the store
_STOP_S = 0.5  # what a cancelled process gets between SIGTERM and SIGKILL
_UNHEARD_S = 2.0  # what the news of a kill may take
_START_S = 20.0  # what a process may need before it answers the first beat


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
        claimed_at: float,
    ) -> None:
        self.job = job
        self.lease = job.lease
        self.leased_until = claimed_at + settings.lease
        self._slot = slot
        self._settings = settings
        self._db = database
        self._artifacts = artifacts
        self._launcher = launcher
        self._folder = settings.home / "scratch" / f"{job.id}-{job.attempt}"
        self._control, self._job_control = socket.socketpair()
        self._oom = OomWatch()
        # When the first beat was sent that the process has not answered yet.
        self._asked_at: float | None = None
        self._answered = False
        self._kill_at: float | None = None
        self._verdict: Outcome | None = None
        self._lost = False
        self._state_lock = threading.Lock()
        self._pid: int | None = None
        self._end: dict[str, Any] | None = None
        self._said: dict[str, Any] = {}
        self._record = Record(
            job,
            self._folder,
            database=database,
            artifacts=artifacts,
            worker=worker,
            holds=lambda pause: not self._lost and lease_clock() + pause <= self.leased_until,
        )

    # ------------------------------------------------------------ from the heartbeat thread

    def beat(self, renewed_at: float) -> None:
        """The lease was renewed, by a statement sent at this time of `lease_clock`."""
        self.leased_until = renewed_at + self._settings.lease
        self._oom.look(self._pid)
        if self._asked_at is None:
            self._asked_at = time.monotonic()
        self._tell(f"beat {self.leased_until}\n".encode())

    def cancel(self) -> None:
        """Somebody wants the job cancelled."""
        self._condemn(Outcome(CANCELLED), _STOP_S)
        self._terminate()

    def stop(self, grace: float) -> None:
        """The worker drains: the process may save its work for `grace` seconds."""
        self._condemn(Outcome(QUEUED, reason="preempted"), grace)
        self._tell(b"stop\n")

    def lose(self) -> None:
        """The lease is gone: nothing more is written, and the process ends at once."""
        self._lost = True

    def _condemn(self, verdict: Outcome, grace: float) -> None:
        deadline = time.monotonic() + grace
        with self._state_lock:
            # Who cancels a job that is being stopped does not want it queued again.
            if self._verdict is None or verdict.state == CANCELLED:
                self._verdict = verdict
            self._kill_at = min(self._kill_at or deadline, deadline)

    def _tell(self, word: bytes) -> None:
        with contextlib.suppress(OSError):
            self._control.send(word, socket.MSG_DONTWAIT)

    def _terminate(self) -> None:
        with self._state_lock:
            self._signal(signal.SIGTERM)

    # ------------------------------------------------------------ in the slot's thread

    def run(self) -> str | None:
        """Run the job to the end of this attempt.

        Returns:
            the job's new state, or None where the lease was lost.
        """
        try:
            outcome = self._run_process()
            return self._record.finish(outcome)
        except LeaseLostError as error:
            log.warning("%s", error)
            return None
        finally:
            self._kill()
            self._control.close()
            self._job_control.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _model_of(self, job_id: int) -> Artifact | None:
        with self._db.read() as session:
            return queries.model_of(session, job_id)

    def _run_process(self) -> Outcome:
        try:
            with self._db.read() as session:
                saved = queries.checkpoints_of(session, self.job.id)
            job_file = stage(
                self.job,
                self._slot,
                self._folder,
                settings=self._settings,
                artifacts=self._artifacts,
                saved=saved,
                model_of=self._model_of,
                expires=lambda: self.leased_until,
            )
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

    def _pump(self, pipes: dict[int, str], status: int) -> None:
        """Carry output and events to the store until the process has ended and all is read."""
        with selectors.DefaultSelector() as selector:
            handlers: dict[int, Callable[[bytes], None]] = {}
            for reading, stream in pipes.items():
                handlers[reading] = LineSplitter(self._record.log_to(stream)).feed
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
                    self._record.flush(self._pid)
                    flush_at = time.monotonic() + _FLUSH_S
        self._record.flush(self._pid)

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
        ran = time.monotonic() - self._record.progress.started
        hard, soft = self.job.time_limit, self.job.soft_time_limit
        if hard is not None and ran > hard:
            self._condemn(_timeout(f"the time limit of {hard:g} s was reached"), 0)
        elif soft is not None and ran > soft and self._verdict is None:
            # The rest of the hard limit, or of a grace time, is for the last checkpoint.
            grace = self._settings.grace if hard is None else hard - ran
            self._condemn(_timeout(f"the soft time limit of {soft:g} s was reached"), grace)
            self._tell(b"stop\n")
        silent = 0.0 if self._asked_at is None else time.monotonic() - self._asked_at
        if self._end is None and silent > (
            self._settings.lease if self._answered else self._patience
        ):
            error = f"the job's process was frozen: it answered nothing for {silent:.0f} s"
            self._condemn(Outcome(FAILED, reason="freeze", error=error, retry=True), 0)
        if self._kill_at is not None and (late := time.monotonic() - self._kill_at) >= 0:
            self._kill()
            if late > _UNHEARD_S:  # a kill is told at once, unless the fork server is frozen
                self._launcher.abandon()

    @property
    def _patience(self) -> float:
        return max(self._settings.lease, _START_S)

    # ------------------------------------------------------------ what the process says

    def _on_status(self, line: bytes) -> None:
        message = json.loads(line)
        if "pid" in message:
            with self._state_lock:
                self._pid = message["pid"]
        else:
            with self._state_lock:
                self._end = message

    def _on_event(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:  # the process was killed in the middle of a line
            return
        event = message.pop("event")
        self._asked_at, self._answered = None, True
        if event == "alive":
            return
        if event == "progress":
            self._record.progress.update(**message)
        elif event == "metrics":
            self._record.add_metrics(message["step"], message["values"], message["time"])
        elif event == "artifact":
            self._record.upload(**message)
        elif event == "confirm":
            self._record.flush(self._pid, even_nothing=True)
            self._tell(b"confirmed\n")
        else:
            self._said[event] = message

    # ------------------------------------------------------------ the end

    def _judge(self) -> Outcome:
        """How the attempt ended, from what the process said and how it died."""
        end = self._end or {}
        memory = end.get("peak_memory")
        done = self._said.get("result")
        # Whatever became of the process after it had said its result: the work is done.
        failed_upload = self._record.upload_error
        if done is not None and failed_upload is None:
            return Outcome(SUCCEEDED, result=done["result"], peak_memory=memory)
        if self._verdict is not None:
            return Outcome(**asdict(self._verdict) | {"peak_memory": memory})
        if failed_upload is not None:
            again = isinstance(failed_upload, StoreError)
            return Outcome(FAILED, "error", str(failed_upload), retry=again, peak_memory=memory)
        if "abandoned" in self._said:
            error = f"the job's process ended itself: {self._said['abandoned']['why']}"
            return Outcome(FAILED, WORKER_LOST, error, retry=True, peak_memory=memory)
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
        cause = cause_of(end, out_of_memory=self._oom.killed())
        return Outcome(FAILED, *cause, retry=True, peak_memory=memory)

    def _signal(self, number: int) -> None:
        """Signal the process group; only while its number cannot be another's."""
        if self._pid is not None and self._end is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, number)

    def _kill(self) -> None:
        with self._state_lock:
            self._signal(signal.SIGKILL)


def _timeout(error: str) -> Outcome:
    return Outcome(FAILED, reason="timeout", error=error)
