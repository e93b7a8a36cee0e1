"""One attempt of one job, from the claim to the fenced finish, watched from its slot's thread.

    bring inputs ─▶ start the process ─▶ hear what it says ─▶ wait for its files ─▶ finish

The slot's thread only watches: it takes what the process says and judges. What may take long
is done beside it (`background.py`), so that a cancel, a drain and a time limit are obeyed at once,
and nothing that is slow is taken for frozen. Everything is written under the attempt's lease. The
first write that is refused ends the process: somebody else has the job now.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cvq import queries
from cvq.artifacts import ArtifactStore
from cvq.db import Database
from cvq.devices import Slot
from cvq.errors import LeaseLostError
from cvq.lifecycle import endings
from cvq.presence import scratch_of
from cvq.records import Artifact, Job, Outcome
from cvq.settings import Settings
from cvq.states import Reason, State

from .. import results
from ..clock import lease_clock
from ..failures import describe, may_pass
from ..launch.launcher import Launcher
from ..protocol import EXIT_CUT
from .background import Background, Storing
from .exit_status import OomWatch, cause_of
from .process import JobProcess
from .record import Record
from .staging import stage

log = logging.getLogger("cvq.worker")

_TICK_S = 0.1  # how soon a verdict is carried out
_STOP_S = 0.5  # what a cancelled process gets between SIGTERM and SIGKILL
_UNHEARD_S = 2.0  # what the news of a kill may take
_TIMEOUT = "timeout"
_STARTS = 3  # fork servers that may die before one has started the process
_CUT = (
    "the job closed its connection to the worker, or shut it down: a descriptor that it had not "
    "opened itself, as os.closerange() does"
)


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
        self.attempt_id = job.attempt_id
        self.leased_until = claimed_at + settings.lease
        self._slot = slot
        self._settings = settings
        self._db = database
        self._artifacts = artifacts
        self._launcher = launcher
        self._folder = scratch_of(settings.home, worker) / f"{job.id}-{job.attempt}"
        self._oom = OomWatch()
        self._process: JobProcess | None = None
        self._storing: Storing | None = None
        self._kill_at: float | None = None
        self._verdict: Outcome | None = None
        self._lost = False
        self._state_lock = threading.Lock()
        self._said: dict[str, Any] = {}
        self._record = Record(
            job,
            self._folder,
            database=database,
            artifacts=artifacts,
            worker=worker,
            patience=settings.lease,
            holds=lambda pause: not self._lost and lease_clock() + pause <= self.leased_until,
        )

    # ------------------------------------------------------------ from the heartbeat thread

    def beat(self, renewed_at: float) -> None:
        """The lease was renewed, by a statement sent at this time of `lease_clock`."""
        self.leased_until = renewed_at + self._settings.lease
        if (process := self._process) is not None:
            self._oom.look(process.pid)
            process.beat(self.leased_until)

    def cancel(self) -> None:
        """Somebody wants the job cancelled."""
        self._condemn(Outcome(State.CANCELLED), _STOP_S)
        if (process := self._process) is not None:
            process.terminate()

    def stop(self, grace: float) -> None:
        """The worker drains: the process may save its work for `grace` seconds."""
        self._condemn(Outcome(State.QUEUED, reason="preempted"), grace)
        self._tell(b"stop\n")

    def lose(self) -> None:
        """The lease is gone: nothing more is written, and the process ends at once."""
        self._lost = True

    def _condemn(self, verdict: Outcome, grace: float) -> None:
        deadline = time.monotonic() + grace
        with self._state_lock:
            # Who cancels a job that is being stopped does not want it queued again.
            if self._verdict is None or verdict.state == State.CANCELLED:
                self._verdict = verdict
            self._kill_at = min(self._kill_at or deadline, deadline)

    def _tell(self, word: bytes) -> None:
        if (process := self._process) is not None:
            process.tell(word)

    # ------------------------------------------------------------ in the slot's thread

    def run(self) -> str | None:
        """Run the job to the end of this attempt.

        Returns:
            the job's new state, or None where the lease was lost.
        """
        try:
            outcome = self._attempt()
            return self._record.finish(outcome)
        except LeaseLostError as error:
            log.warning("%s", error)
            return None
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def fail(self, error: BaseException) -> str | None:
        """End the attempt with what has gone wrong in this slot; return the job's new state."""
        try:
            return self._record.finish(self._failed(error))
        except Exception:  # the lease runs out, and says so
            log.exception("job %s attempt %s: its end cannot be stored", *self.attempt_id)
            return None

    def _attempt(self) -> Outcome:
        """Do everything but the finish; whatever goes wrong here is how the attempt ended."""
        try:
            self._storing = Storing(self._record, lambda: self._tell(b"confirmed\n"))
            try:
                if (job_file := self._bring_inputs()) is not None:
                    self._run_process(job_file)
                    self._await_files()
            finally:
                self._end_process()
                # Room for the end to be written, should this job have filled the disk.
                shutil.rmtree(self._folder, ignore_errors=True)
                self._storing.close()
            self._check_storing()
            self._record.flush()
        except LeaseLostError:
            raise
        except Exception as error:
            log.warning("job %s attempt %s: %s", *self.attempt_id, describe(error)["message"])
            return self._failed(error)
        return self._judge()

    def _bring_inputs(self) -> Path | None:
        """Bring the job's files here; None where the attempt was condemned meanwhile."""
        found: list[Path] = []
        abandoned = threading.Event()

        def bring() -> None:
            try:
                stage_all()
            finally:
                if abandoned.is_set():  # left to itself: nobody else cleans up after it
                    shutil.rmtree(self._folder, ignore_errors=True)

        def stage_all() -> None:
            saved = self._record.read(
                lambda connection: queries.checkpoints_of(connection, self.job.id)
            )
            job_file = stage(
                self.job,
                self._slot,
                self._folder,
                settings=self._settings,
                artifacts=self._artifacts,
                saved=saved,
                model_of=self._model_of,
                warnings_of=self._warnings_of,
            )
            found.append(job_file)

        try:
            self._beside(bring, "cvq-stage")
        finally:
            abandoned.set()
        return None if self._is_over else found[0]

    def _model_of(self, job_id: int) -> Artifact | None:
        return self._record.read(lambda connection: queries.model_of(connection, job_id))

    def _warnings_of(self, job_id: int) -> list[str]:
        return self._record.read(lambda connection: queries.get_job(connection, job_id).warnings)

    def _beside(self, function: Callable[[], None], name: str) -> None:
        """Do something in another thread while this one watches; leave it once condemned."""
        work = Background(function, name)
        work.start()
        while work.is_alive() and not self._is_over:
            work.join(_TICK_S)
            self._enforce()
        if not work.is_alive() and work.error is not None:
            raise _as_exception(work.error)

    def _run_process(self, job_file: Path) -> None:
        """Run the process to its end."""
        for _ in range(_STARTS):
            process = self._process = JobProcess(
                self._launcher,
                output=self._record.log_to,
                hear=self._on_event,
                begun=self._on_begun,
            )
            launch = Background(lambda process=process: process.launch(job_file), "cvq-launch")  # type: ignore[misc]
            launch.start()
            self._watch(process, launch)
            if process.pid is not None or self._is_over:
                return
            process.close()

    def _watch(self, process: JobProcess, launch: Background) -> None:
        """Hear the process until it is gone."""
        while not process.gone:
            process.read(_TICK_S, paused=self._record.full)
            self._record.pid = process.pid
            self._enforce()
            if process.pid is None:
                if launch.error is not None:
                    raise _as_exception(launch.error)
                if self._is_over:  # it will find its leash cut, and not begin
                    return
                process.end_frozen_server()
        process.drain()

    def _await_files(self) -> None:
        """Wait for what the process has published, as long as somebody wants it."""
        assert self._storing is not None
        while self._storing.busy and self._storing.error is None:
            self._enforce()
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                return
            threading.Event().wait(_TICK_S / 2)

    def _end_process(self) -> None:
        if self._process is not None:
            if not self._process.gone:
                self._process.kill_directly()
            self._process.close()

    @property
    def _is_over(self) -> bool:
        """Whether nothing need be begun any more."""
        if self._verdict is None or self._kill_at is None:
            return False
        # At its soft time limit a job may still begin, and save what an earlier attempt has left.
        return self._verdict.reason != _TIMEOUT or time.monotonic() >= self._kill_at

    def _enforce(self) -> None:
        """Carry out what was decided, and decide what is due."""
        self._check_storing()
        if self._lost:
            raise LeaseLostError(*self.attempt_id)
        self._check_limits()
        process = self._process
        if process is None or process.gone:
            return
        if (silent := process.frozen(self._settings.lease)) is not None:
            error = f"the job's process was frozen: it answered nothing for {silent:.0f} s"
            self._condemn(Outcome(State.FAILED, reason="freeze", error=error, retry=True), 0)
        if process.hung_up() and not self._said:
            self._condemn(Outcome(State.FAILED, reason="error", error=_CUT), 0)
        if self._kill_at is not None and (late := time.monotonic() - self._kill_at) >= 0:
            process.kill()
            if late > _UNHEARD_S:
                process.kill_directly()

    def _check_limits(self) -> None:
        ran = time.monotonic() - self._record.progress.started
        hard, soft = self.job.time_limit, self.job.soft_time_limit
        if hard is not None and ran > hard:
            self._condemn(_timeout(endings.timeout(hard, soft=False)), 0)
        elif soft is not None and ran > soft and self._verdict is None:
            # The rest of the hard limit, or of a grace time, is for the last checkpoint.
            grace = self._settings.grace if hard is None else hard - ran
            self._condemn(_timeout(endings.timeout(soft, soft=True)), grace)
            self._tell(b"stop\n")

    def _check_storing(self) -> None:
        if self._storing is not None and (error := self._storing.error) is not None:
            raise _as_exception(error)

    # ------------------------------------------------------------ what the process says

    def _on_begun(self) -> None:
        """The process waits for its first beat."""
        if (process := self._process) is not None:
            process.beat(self.leased_until)
            if self._verdict is not None:
                process.tell(b"stop\n")

    def _on_event(self, message: dict[str, Any]) -> None:
        assert self._storing is not None
        event = message.pop("event")
        if event == "progress":
            self._record.progress.update(**message)
        elif event == "metrics":
            self._record.add_metrics(message["step"], message["values"], message["time"])
        elif event == "artifact":
            self._storing.upload(message)
        elif event == "confirm":
            self._storing.confirm()
        elif event == "nonsense":
            note = f"WARNING cvq.worker: the job sent what is no report: {message['line']}"
            self._record.log_to("stderr")(note.encode())
        elif event == "result" and message.get("in_file"):
            self._said[event] = {"result": results.read(self._folder)}
        else:
            self._said[event] = message

    # ------------------------------------------------------------ the end

    def _judge(self) -> Outcome:
        """How the attempt ended, from what the process said and how it died."""
        process = self._process
        end = (process and process.end) or {}
        memory = end.get("peak_memory")
        done = self._said.get("result")
        # Whatever became of the process after it had said its result: the work is done.
        failed_upload = self._record.upload_error
        assert self._storing is not None
        if done is not None and failed_upload is None and not self._storing.busy:
            return Outcome(State.SUCCEEDED, result=done["result"], peak_memory=memory)
        if self._verdict is not None:
            return Outcome(**asdict(self._verdict) | {"peak_memory": memory})
        if failed_upload is not None:
            again = may_pass(failed_upload)
            return Outcome(
                State.FAILED, "error", str(failed_upload), retry=again, peak_memory=memory
            )
        if process is None or process.pid is None:
            error = f"{_STARTS} fork servers died before one had started the job's process"
            return Outcome(State.FAILED, Reason.WORKER_LOST, error, retry=True)
        if process.abandoned is not None:
            error = f"the job's process ended itself: {process.abandoned}"
            return Outcome(State.FAILED, Reason.WORKER_LOST, error, retry=True, peak_memory=memory)
        failure = self._said.get("error")
        if failure is not None:
            return Outcome(
                State.FAILED,
                reason=failure["reason"],
                error=failure["message"],
                traceback=failure["traceback"],
                retry=failure["retry"],
                peak_memory=memory,
            )
        if end.get("exit") == EXIT_CUT:
            return Outcome(State.FAILED, "error", _CUT, peak_memory=memory)
        cause = cause_of(end, out_of_memory=self._oom.killed())
        return Outcome(State.FAILED, *cause, retry=True, peak_memory=memory)

    def _failed(self, error: BaseException) -> Outcome:
        said = describe(error)
        return Outcome(
            State.FAILED,
            reason=said["reason"],
            error=said["message"],
            traceback=said["traceback"],
            retry=said["retry"],
        )


def _as_exception(error: BaseException) -> Exception:
    """What a thread has raised, to be raised here: a plug-in's `sys.exit` ends no slot."""
    return error if isinstance(error, Exception) else RuntimeError(describe(error)["message"])


def _timeout(error: str) -> Outcome:
    return Outcome(State.FAILED, reason=_TIMEOUT, error=error)
