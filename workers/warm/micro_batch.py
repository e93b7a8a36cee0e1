"""The attempts of one claim, from their inputs to the end of each, on a slot's warm process.

    bring inputs ─▶ have the process answer ─▶ hear the end of each ─▶ write all ends at once

Each attempt has its lease, may be cancelled, and ends for itself. Where the process dies, is
frozen or takes longer than a job may, those without an end are halved and tried again until the
one that is at fault is alone with its cause. Where that happens again and again while the model is
loaded, no item is at fault, and all end so.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from cvq.errors import LeaseLostError
from cvq.ids import AttemptId
from cvq.inputs.files import Staging
from cvq.inputs.models import ModelFile
from cvq.kinds import make_spec
from cvq.kinds.kind import Kind, has_shards
from cvq.records import Job, Outcome
from cvq.states import Reason, State
from cvq.text import duration

from .. import results
from ..attempt.attempt import Attempt
from ..attempt.background import Background
from ..attempt.execution import Site
from ..attempt.outcome import Ending, failure_of, outcome_of
from ..attempt.trained import TrainedModels
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
from .transcript import Transcript
from .warm_process import TICK_S, WarmProcess

log = logging.getLogger("cvq.worker")

_SETTLE_S = 1.0  # for which an end may wait to be written with the others
_QUICK_S = 1.0  # for the answers of a whole one
_LOADS = 3  # of a model that ends the process: somebody else may have struck that


class MicroBatch:
    """The attempts of one claim on their way: `bring`, `answer` in the slot's thread, `finish`.

    Args:
        attempts: of jobs with one batch key.
        kind: of all of them; None of jobs that get processes of their own, which are only held
            until it is their turn, or given back.
        site: where they run.
        process: the slot's.
        told: takes the new states of jobs as soon as they are written; not of those lost.

    Attributes:
        attempts: of all its jobs.
        states: the new ones of jobs whose end is written; without those that were lost.
        seconds: that the answers took.
    """

    def __init__(
        self,
        attempts: Sequence[Attempt],
        kind: Kind | None,
        site: Site,
        process: WarmProcess,
        told: Callable[[Mapping[AttemptId, str]], None],
    ) -> None:
        self.attempts = tuple(attempts)
        self.states: dict[AttemptId, str] = {}
        self._kind = kind
        self._attempts = {attempt.id: attempt for attempt in attempts}
        self._site = site
        self._process = process
        self._folder = process.folder / "batches" / f"{time.monotonic_ns()}"
        self._ends: dict[AttemptId, Outcome] = {}
        self._transcript = Transcript()
        self._books = Books(site, self._attempts, self._folder, self._transcript)
        # Not in the micro-batch's own folder: the process may read them again for the next.
        self._models = process.models
        self._trained = TrainedModels(self._books.read, site.artifacts, self._models.folder)
        self._key = attempts[0].job.batch_key or ""
        self._jobs: dict[AttemptId, BatchJob] = {}
        self._key = attempts[0].job.batch_key or ""
        self._wanted = self._has_shards = False
        self._look: Callable[[], None] = lambda: None
        self.seconds = 0.0
        self._loads = 0  # in which the process ended
        self._told = told
        self._settled: set[AttemptId] = set()
        self._settled_at = time.monotonic()

    def bring(self) -> None:
        """Bring the inputs of all here; a job whose inputs cannot be had fails alone."""
        if not self.is_warm:
            return
        self._models.hold(self, self._key)
        with self._ending_all():
            self._wanted = self._bring_inputs()

    def answer(self, look: Callable[[], None] = lambda: None) -> None:
        """Have all of them answered whose inputs are here.

        Args:
            look: called now and then.
        """
        began, self._look = time.monotonic(), look
        if self._wanted:
            with self._ending_all():
                self._answer_all()
        self.seconds = time.monotonic() - began
        if self._wanted and self._ends.keys() == self._attempts.keys():
            self._process.answered = self._key, self.seconds

    def finish(self) -> None:
        """Write the ends of all; those that were not answered go back to the queue."""
        try:
            self._books.await_files()
            self._finish(self._outcomes())
        except LeaseLostError as error:  # of all of them
            log.warning("%s", error)
        finally:
            self._books.close()
            self._models.release(self, self._process.resident)
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def is_warm(self) -> bool:
        """Whether it is for a warm process."""
        return self._kind is not None

    @property
    def is_quick_and_full(self) -> bool:
        """Whether it will not take long, as the last one did not, and more may be queued."""
        key, seconds = self._process.answered
        full = self._has_shards or len(self.attempts) >= self._site.settings.micro_batch
        return full and key == self._key and seconds <= _QUICK_S

    @contextmanager
    def _ending_all(self) -> Iterator[None]:
        """What goes wrong here is the end of all that have none."""
        try:
            yield
        except LeaseLostError as error:  # of all of them
            log.warning("%s", error)
        except Exception as error:
            log.exception("a micro-batch of %d jobs", len(self._attempts))
            self._end_rest(failure_of(error))

    # ------------------------------------------------------------ inputs

    def _bring_inputs(self) -> bool:
        """Bring the inputs of all here; return whether somebody still wants an answer."""
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
        models: dict[Any, dict[str, Any] | Exception] = {}
        for id_, attempt in self._attempts.items():
            if self._is_over(id_):
                continue
            try:
                self._jobs[id_] = self._staged(attempt.job, models)
            except Exception as error:
                self._ends.setdefault(id_, failure_of(error))

    def _staged(self, job: Job, models: dict[Any, dict[str, Any] | Exception]) -> BatchJob:
        site = self._site
        assert self._kind is not None
        spec = make_spec(self._kind, job.spec)
        self._has_shards = self._has_shards or has_shards(spec)
        staging = Staging(
            site.artifacts, site.settings.home / "cache", site.settings.kinds, self._trained.bring
        )
        inputs = []
        for file in spec.inputs():
            if isinstance(file, ModelFile):  # the same for all of them
                key = file.model_dump_json()
                if key not in models:
                    if file.job is not None:
                        self._models.note(self._key, file.job)
                    models[key] = _found_or_not(partial(file.stage, staging))
                if isinstance(found := models[key], Exception):
                    raise found
                inputs.append(found)
            else:
                inputs.append(file.stage(staging))
        return BatchJob(*job.attempt_id, job.spec, job.spec_hash, inputs)

    # ------------------------------------------------------------ answers

    def _answer_all(self) -> None:
        assert self._kind is not None
        groups = deque([[id_ for id_ in self._jobs if not self._is_over(id_)]])
        while groups:
            group = [id_ for id_ in groups.popleft() if not self._is_over(id_)]
            if not group or not self._watch():
                continue
            self._process.ensure(self._kind.name, self._watch)
            if not self._process.alive:
                return
            cause = self._answer(group)
            left = [id_ for id_ in group if not self._is_over(id_)]
            if cause is None:
                groups.appendleft(left)
            elif not self._process.loaded:
                self._end_unloaded(left, cause)
                groups.appendleft(left)
            elif len(left) == 1:
                self._ends[left[0]] = cause
            else:
                half = len(left) // 2
                groups.extendleft([left[half:], left[:half]])

    def _end_unloaded(self, group: Sequence[AttemptId], cause: Outcome) -> None:
        """The process came to its end while it loaded the model, which is no item's fault."""
        if cause.reason == Reason.TIMEOUT:  # each has its own
            late = {id_: self._attempts[id_].limit_reached() for id_ in group}
            self._ends |= {id_: end for id_, end in late.items() if end is not None}
            return
        self._loads += 1
        if self._loads == _LOADS:
            self._end_rest(cause)

    def _answer(self, group: Sequence[AttemptId]) -> Outcome | None:
        """Have a group answered; why those without an end have none; None: not their fault."""
        first = self._attempts[group[0]].job
        request = BatchRequest(
            self._key,
            first.kind,
            str(self._folder),
            [self._jobs[id_] for id_ in group],
        )
        self._books.restart(group)
        self._restart(group)
        self._transcript.begin(group)
        self._process.serve(request, self._receive, self._transcript.write)
        loaded = False
        try:
            while self._process.alive:
                if self._process.read() is not None:
                    return failure_of(RuntimeError("the inference gave no answer"))
                if self._process.loaded and not loaded:
                    loaded = True
                    self._restart(group)  # nobody's own, either
                self._books.flush()
                self._settle()
                self._look()
                if self._is_in_the_way(group):
                    self._process.kill()
                    return None
                if (cause := self._disturbance(group)) is not None:
                    self._process.kill()
                    return cause
            return outcome_of(Ending(process=self._process.end))
        except BaseException:
            self._process.kill()  # it is busy with what nobody hears
            raise
        finally:
            self._process.forget(request)

    def _restart(self, group: Sequence[AttemptId]) -> None:
        for id_ in group:
            self._attempts[id_].restart()

    def _is_in_the_way(self, group: Sequence[AttemptId]) -> bool:
        """Whether the process is busy with what nobody wants, and others wait for it."""
        left = any(not self._is_over(id_) for id_ in group)
        patience = self._site.settings.grace if left else 0.0
        return any(self._overdue(id_, patience) for id_ in group)

    def _disturbance(self, group: Sequence[AttemptId]) -> Outcome | None:
        """Why the process is to be killed now, if it is."""
        if (silent := self._process.frozen()) is not None:
            error = f"the warm process was frozen: it answered nothing for {duration(silent)}"
            return Outcome(State.FAILED, Reason.FREEZE, error, retry=True)
        left = (self._attempts[id_] for id_ in group if not self._is_over(id_))
        return next((end for each in left if (end := each.limit_reached()) is not None), None)

    def _receive(self, message: Event | Begun) -> None:
        id_ = message.attempt_id
        match message:
            case Result():
                self._ends.setdefault(id_, self._success(message))
            case Error(_, _, reason, said, traceback, retry):
                end = Outcome(State.FAILED, reason, said, traceback, retry=retry)
                self._ends.setdefault(id_, end)
            case ArtifactWritten():
                self._books.upload(message)
            case Progress():
                self._books.note_progress(message)

    def _success(self, message: Result) -> Outcome:
        folder = self._folder / f"{message.job_id}-{message.attempt}"
        result = results.Filed(folder) if message.in_file else message.value
        return Outcome(State.SUCCEEDED, result=result)

    # ------------------------------------------------------------ ends

    def _watch(self) -> bool:
        """Whether anybody wants an answer still."""
        self._look()
        return any(not self._is_over(id_) for id_ in self._attempts)

    def _is_over(self, id_: AttemptId) -> bool:
        """Whether an attempt has its end: it was answered, lost, or is wanted no more."""
        attempt = self._attempts[id_]
        if attempt.lost or id_ in self._ends:
            return True
        return attempt.requested is not None and (
            attempt.requested.state == State.CANCELLED or attempt.overdue_s is not None
        )

    def _overdue(self, id_: AttemptId, patience: float) -> bool:
        """Whether the process has had no more time for an attempt for so many seconds."""
        attempt = self._attempts[id_]
        if id_ in self._ends:
            return False
        late = attempt.overdue_s
        return (attempt.lost and not patience) or (late is not None and late >= patience)

    def _end_rest(self, outcome: Outcome) -> None:
        for id_ in self._attempts:
            self._ends.setdefault(id_, outcome)

    def _settle(self) -> None:
        """Write the ends that are known where the others take longer."""
        if time.monotonic() - self._settled_at < _SETTLE_S:
            return
        self._settled_at = time.monotonic()
        known = [id_ for id_ in self._ends if not self._books.is_uploading(id_)]
        outcomes = self._outcomes()
        self._finish({id_: outcomes[id_] for id_ in known if id_ in outcomes})

    def _finish(self, outcomes: Mapping[AttemptId, Outcome]) -> None:
        for part in self._books.parts(outcomes):
            states = self._books.finish(part)
            self.states |= states
            self._settled |= part.keys()
            self._told(states)

    def _outcomes(self) -> dict[AttemptId, Outcome]:
        """The end of each attempt that is still ours, and not yet written."""
        held = {
            id_: attempt
            for id_, attempt in self._attempts.items()
            if not attempt.lost and id_ not in self._settled
        }
        return {id_: self._outcome(id_, attempt) for id_, attempt in held.items()}

    def _outcome(self, id_: AttemptId, attempt: Attempt) -> Outcome:
        end = self._ends.get(id_)
        if end is not None and end.state == State.SUCCEEDED:
            error = self._books.error_of(id_)
            return end if error is None else failure_of(error)
        return attempt.requested or end or Outcome(State.QUEUED, Reason.PREEMPTED)


def _found_or_not(look: Callable[[], dict[str, Any]]) -> dict[str, Any] | Exception:
    try:
        return look()
    except Exception as error:  # raised for each that asks
        return error
