"""An attempt in its slot, from the claim to the fenced finish.

    bring inputs ─▶ start the process ─▶ hear what it says ─▶ wait for its files ─▶ finish

The slot's thread only watches: it takes what the process says and decides. What may take long is
done beside it (`background.py`, `storing.py`), so that a cancel, a drain and a time limit are
obeyed at once, and nothing that is slow is taken for frozen. Everything is written under the
attempt's lease. The first write that is refused ends the process: somebody else has the job now.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cvq import queries
from cvq.artifacts import ArtifactStore
from cvq.db import Database
from cvq.devices import Slot
from cvq.errors import LeaseLostError
from cvq.presence import scratch_of
from cvq.records import Outcome
from cvq.settings import Settings
from cvq.states import Reason, State
from cvq.text import duration

from ..failures import describe
from ..launch.launcher import Launcher
from ..process.job_process import JobProcess
from .attempt import Attempt
from .background import Background
from .leased import LeasedDatabase
from .outcome import CUT, Ending, failure_of, outcome_of
from .receiver import Receiver
from .record import Record
from .reports import Reports
from .staging import stage
from .storing import Storing
from .trained import TrainedModels
from .uploads import Uploads

log = logging.getLogger("cvq.worker")

_TICK_S = 0.1  # how soon what was decided is carried out
_WEIGH_S = 1.0  # how often it is looked how much memory the process holds
_UNHEARD_S = 2.0  # what the news of a kill may take
_STARTS = 3  # fork servers that may die before one has started the process


@dataclass(frozen=True)
class Site:
    """Where a worker's attempts run: what they all share."""

    worker: str
    settings: Settings
    database: Database
    artifacts: ArtifactStore
    launcher: Launcher


class Execution:
    """Runs one attempt in a process of its own, watched from its slot's thread."""

    def __init__(self, attempt: Attempt, slot: Slot, site: Site) -> None:
        self._attempt = attempt
        self._slot = slot
        self._site = site
        folder = f"{attempt.job.id}-{attempt.job.attempt}"
        self._folder = scratch_of(site.settings.home, site.worker) / folder
        self._process: JobProcess | None = None
        self._starts = 0
        self._reports = Reports()
        self._db = LeasedDatabase(site.database, [attempt], patience=site.settings.lease)
        self._record = Record(attempt.job, self._reports, self._db, site.artifacts, site.worker)
        self._uploads = Uploads(attempt.id, self._folder, self._reports, site.artifacts)
        self._storing = Storing(self._record, self._uploads)
        self._receiver = Receiver(attempt, self._reports, self._storing, self._folder)

    def run(self) -> str | None:
        """Run the job to the end of this attempt.

        Returns:
            the job's new state, or None where the lease was lost.
        """
        try:
            outcome = self._run()
            return self._record.finish(outcome)
        except LeaseLostError as error:
            log.warning("%s", error)
            return None
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def fail(self, error: BaseException) -> str | None:
        """End the attempt with what has gone wrong in this slot; return the job's new state."""
        try:
            return self._record.finish(failure_of(error))
        except Exception:  # the lease runs out, and says so
            log.exception("job %s attempt %s: its end cannot be stored", *self._attempt.id)
            return None

    def _run(self) -> Outcome:
        """Do everything but the finish; whatever goes wrong here is how the attempt ended."""
        try:
            self._storing.start()
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
            log.warning("job %s attempt %s: %s", *self._attempt.id, describe(error).message)
            return failure_of(error)
        return outcome_of(self._ending())

    # ------------------------------------------------------------ inputs

    def _bring_inputs(self) -> Path | None:
        """Bring the job's files here; None where its end was requested meanwhile."""
        found: list[Path] = []
        abandoned = threading.Event()

        def bring() -> None:
            try:
                found.append(self._stage())
            finally:
                if abandoned.is_set():  # left to itself: nobody else cleans up after it
                    shutil.rmtree(self._folder, ignore_errors=True)

        try:
            self._beside(bring, "cvq-stage")
        finally:
            abandoned.set()
        return None if self._attempt.is_over else found[0]

    def _stage(self) -> Path:
        job = self._attempt.job
        return stage(
            job,
            self._slot,
            self._folder,
            settings=self._site.settings,
            artifacts=self._site.artifacts,
            saved=self._db.read(lambda connection: queries.checkpoints_of(connection, job.id)),
            model=TrainedModels(
                self._db.read, self._site.artifacts, self._folder / "models"
            ).bring,
        )

    def _beside(self, function: Callable[[], None], name: str) -> None:
        """Do something in another thread while this one watches; leave it once that is over."""
        work = Background(function, name)
        work.start()
        while work.is_alive() and not self._attempt.is_over:
            work.join(_TICK_S)
            self._enforce()
        if not work.is_alive() and work.error is not None:
            raise _as_exception(work.error)

    # ------------------------------------------------------------ the process

    def _run_process(self, job_file: Path) -> None:
        """Run the process to its end."""
        while self._starts < _STARTS:
            self._starts += 1
            process = JobProcess(self._site.launcher, output=self._reports.log_to)
            process.register(self._attempt.id, self._receiver.receive)
            self._process = process
            self._attempt.run_in(process)
            launch = Background(lambda process=process: process.launch(job_file), "cvq-launch")  # type: ignore[misc]
            launch.start()
            self._watch(process, launch)
            if process.pid is not None or self._attempt.is_over:
                return
            process.close()

    def _watch(self, process: JobProcess, launch: Background) -> None:
        """Hear the process until it is gone."""
        weigh_at = 0.0
        while not process.gone:
            process.read(_TICK_S, paused=self._reports.full)
            self._record.pid = process.pid
            if time.monotonic() >= weigh_at:
                self._record.note_memory(process.memory)
                weigh_at = time.monotonic() + _WEIGH_S
            self._enforce()
            if process.pid is None:
                if launch.error is not None:
                    raise _as_exception(launch.error)
                if self._attempt.is_over:  # it will find its leash cut, and not begin
                    return
                process.end_frozen_server()
        process.drain()

    def _await_files(self) -> None:
        """Wait for what the process has published, as long as somebody wants it."""
        while self._storing.busy and self._storing.error is None:
            self._enforce()
            if self._attempt.overdue_s is not None:
                return
            threading.Event().wait(_TICK_S / 2)

    def _end_process(self) -> None:
        if self._process is not None:
            if not self._process.gone:
                self._process.kill_directly()
            self._process.close()

    def _enforce(self) -> None:
        """Carry out what was decided, and decide what is due."""
        self._check_storing()
        attempt, process = self._attempt, self._process
        if attempt.lost:
            raise LeaseLostError(*attempt.id)
        attempt.check_limits()
        if process is None or process.gone:
            return
        if (silent := process.frozen(self._site.settings.lease)) is not None:
            error = f"the job's process was frozen: it answered nothing for {duration(silent)}"
            attempt.request_end(Outcome(State.FAILED, Reason.FREEZE, error, retry=True), 0)
        if process.hung_up() and not self._receiver.has_end:
            attempt.request_end(Outcome(State.FAILED, Reason.ERROR, CUT), 0)
        if (late := attempt.overdue_s) is not None:
            process.kill()
            if late > _UNHEARD_S:
                process.kill_directly()

    def _check_storing(self) -> None:
        if (error := self._storing.error) is not None:
            raise _as_exception(error)

    # ------------------------------------------------------------ the end

    def _ending(self) -> Ending:
        process = self._process
        return Ending(
            result=self._receiver.result,
            error=self._receiver.error,
            requested=self._attempt.requested,
            upload_error=self._uploads.error,
            uploading=self._storing.busy,
            starts=self._starts,
            process=None if process is None else process.end,
        )


def _as_exception(error: BaseException) -> Exception:
    """What a thread has raised, to be raised here: a plug-in's `sys.exit` ends no slot."""
    return error if isinstance(error, Exception) else RuntimeError(describe(error).message)
