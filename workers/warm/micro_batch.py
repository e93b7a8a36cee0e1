"""The attempts of one claim, from their inputs to the end of each, on a slot's warm process.

    bring inputs ─▶ have the process answer ─▶ hear the end of each ─▶ write all ends at once

Each attempt has its lease, may be cancelled, and ends for itself. Where the process dies, is
frozen or takes longer than a job may, those without an end are halved and tried again until the
one that is at fault is alone with its cause.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from cvq import queries
from cvq.errors import LeaseLostError, PermanentError
from cvq.ids import AttemptId
from cvq.inputs.files import Staging
from cvq.inputs.models import ModelFile
from cvq.kinds import make_spec
from cvq.kinds.kind import Kind
from cvq.records import Job, Outcome
from cvq.states import Reason, State

from .. import results
from ..attempt.attempt import Attempt
from ..attempt.background import Background
from ..attempt.execution import Site
from ..attempt.outcome import Ending, failure_of, outcome_of
from ..protocol import (
    ArtifactWritten,
    BatchJob,
    BatchRequest,
    Begun,
    Error,
    Event,
    Progress,
    Result,
)
from .books import Books
from .warm_process import TICK_S, WarmProcess

log = logging.getLogger("cvq.worker")


class MicroBatch:
    """Runs the attempts of one claim in a slot's thread.

    Args:
        attempts: of jobs with one batch key.
        kind: of all of them.
        site: where they run.
        process: the slot's.
    """

    def __init__(
        self, attempts: Sequence[Attempt], kind: Kind, site: Site, process: WarmProcess
    ) -> None:
        self._kind = kind
        self._attempts = {attempt.id: attempt for attempt in attempts}
        self._site = site
        self._process = process
        self._folder = process.folder / "batches" / f"{time.monotonic_ns()}"
        self._ends: dict[AttemptId, Outcome] = {}
        self._books = Books(site, self._attempts, self._folder)
        self._jobs: dict[AttemptId, BatchJob] = {}

    def run(self) -> dict[AttemptId, str]:
        """Run all to their ends; return the new states of the jobs that were not lost."""
        try:
            try:
                if self._bring_inputs():
                    self._answer_all()
            except LeaseLostError as error:  # of all of them
                log.warning("%s", error)
            except Exception as error:
                log.exception("a micro-batch of %d jobs", len(self._attempts))
                self._end_rest(failure_of(error))
            self._books.await_files()
            return self._books.finish(self._outcomes())
        finally:
            self._books.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    # ------------------------------------------------------------ inputs

    def _bring_inputs(self) -> bool:
        """Bring the inputs of all here; return whether somebody still wants an answer.

        A job whose inputs cannot be had fails alone.
        """
        work = Background(self._stage_all, "cvq-stage")
        work.start()
        while work.is_alive():
            work.join(TICK_S)
            if not self._watch():
                return False  # left to itself
        if work.error is not None:
            raise RuntimeError(f"inputs could not be brought: {work.error}") from work.error
        return True

    def _stage_all(self) -> None:
        models: dict[Any, dict[str, Any]] = {}
        for id_, attempt in self._attempts.items():
            if self._is_over(id_):
                continue
            try:
                self._jobs[id_] = self._staged(attempt.job, models)
            except Exception as error:
                self._ends.setdefault(id_, failure_of(error))

    def _staged(self, job: Job, models: dict[Any, dict[str, Any]]) -> BatchJob:
        site = self._site
        spec = make_spec(self._kind, job.spec)
        staging = Staging(
            site.artifacts, site.settings.home / "cache", site.settings.kinds, self._model
        )
        inputs = []
        for file in spec.inputs():
            if isinstance(file, ModelFile):  # the same for all of them
                key = file.model_dump_json()
                models[key] = models.get(key) or file.stage(staging)
                inputs.append(models[key])
            else:
                inputs.append(file.stage(staging))
        return BatchJob(*job.attempt_id, job.spec, job.spec_hash, inputs)

    def _model(self, file: ModelFile) -> tuple[Any, list[str]]:
        with self._site.database.read() as connection:
            found = None if file.job is None else queries.model_of(connection, file.job)
            if file.job is None or found is None:
                raise PermanentError(f"job {file.job} left no model")
            warnings = queries.get_job(connection, file.job).warnings
        # Not the micro-batch's own folder: the process may read it again for the next.
        folder = self._process.folder / "models" / str(file.job)
        return self._site.artifacts.fetch_readable(found, folder), warnings

    # ------------------------------------------------------------ answers

    def _answer_all(self) -> None:
        groups = deque([[id_ for id_ in self._jobs if not self._is_over(id_)]])
        while groups:
            group = [id_ for id_ in groups.popleft() if not self._is_over(id_)]
            if not group or not self._watch():
                continue
            self._process.ensure(self._watch)
            if not self._process.alive:
                return
            cause = self._answer(group)
            left = [id_ for id_ in group if not self._is_over(id_)]
            if cause is None or not left:
                continue
            if len(left) == 1:
                self._ends[left[0]] = cause()
            else:
                half = len(left) // 2
                groups.extendleft([left[half:], left[:half]])

    def _answer(self, group: Sequence[AttemptId]) -> Callable[[], Outcome] | None:
        """Have a group answered; why those without an end have none."""
        first = self._attempts[group[0]].job
        request = BatchRequest(
            first.batch_key or "",
            first.kind,
            str(self._folder),
            [self._jobs[id_] for id_ in group],
        )
        for id_ in group:
            self._attempts[id_].restart()
        self._process.serve(request, self._receive)
        try:
            while self._process.alive:
                if self._process.read() is not None:
                    return partial(failure_of, RuntimeError("the inference gave no answer"))
                if (cause := self._disturbance(group)) is not None:
                    self._process.kill()
                    return cause
            return partial(outcome_of, Ending(process=self._process.end))
        finally:
            self._process.forget(request)

    def _disturbance(self, group: Sequence[AttemptId]) -> Callable[[], Outcome] | None:
        """Why the process is to be killed now, if it is."""
        self._watch()
        self._books.flush_progress()
        left = [self._attempts[id_] for id_ in group if not self._is_over(id_)]
        if (silent := self._process.frozen()) is not None:
            error = f"the warm process was frozen: it answered nothing for {silent:.0f} s"
            return lambda: Outcome(State.FAILED, Reason.FREEZE, error, retry=True)
        if not left and any(self._overdue(id_) for id_ in group):
            return lambda: Outcome(State.CANCELLED)  # of nobody: all have their ends
        for attempt in left:
            if (end := attempt.limit_reached()) is not None:
                return lambda: end
        return None

    def _receive(self, message: Event | Begun) -> None:
        id_ = message.attempt_id
        match message:
            case Result():
                value = message.value
                if message.in_file:
                    value = results.read(self._folder / f"{id_.job_id}-{id_.attempt}")
                self._ends.setdefault(id_, Outcome(State.SUCCEEDED, result=value))
            case Error(_, _, reason, said, traceback, retry):
                end = Outcome(State.FAILED, reason, said, traceback, retry=retry)
                self._ends.setdefault(id_, end)
            case ArtifactWritten():
                self._books.upload(message)
            case Progress():
                self._books.note_progress(message)

    # ------------------------------------------------------------ ends

    def _watch(self) -> bool:
        """Whether anybody wants an answer still."""
        return any(not self._is_over(id_) for id_ in self._attempts)

    def _is_over(self, id_: AttemptId) -> bool:
        """Whether an attempt has its end: it was answered, lost, or is wanted no more."""
        attempt = self._attempts[id_]
        if attempt.lost or id_ in self._ends:
            return True
        return attempt.requested is not None and (
            attempt.requested.state == State.CANCELLED or attempt.overdue_s is not None
        )

    def _overdue(self, id_: AttemptId) -> bool:
        """Whether the process has no more time for an attempt whose end was requested."""
        attempt = self._attempts[id_]
        return id_ not in self._ends and (attempt.lost or attempt.overdue_s is not None)

    def _end_rest(self, outcome: Outcome) -> None:
        for id_ in self._attempts:
            self._ends.setdefault(id_, outcome)

    def _outcomes(self) -> dict[AttemptId, Outcome]:
        """The end of each attempt that is still ours."""
        held = {id_: each for id_, each in self._attempts.items() if not each.lost}
        return {id_: self._outcome(id_, attempt) for id_, attempt in held.items()}

    def _outcome(self, id_: AttemptId, attempt: Attempt) -> Outcome:
        end = self._ends.get(id_)
        if end is not None and end.state == State.SUCCEEDED:
            error = self._books.error_of(id_)
            return end if error is None else failure_of(error)
        return attempt.requested or end or Outcome(State.QUEUED, Reason.PREEMPTED)
