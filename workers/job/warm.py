"""The inside of a warm process: it keeps models loaded, and answers one micro-batch after another.

    worker ──Serve──▶ load the model, or find it ─▶ answer all items ─▶ a Result or Error for
                      each attempt, then Served

It holds no lease: all that it does reaches the world through its worker, which writes under the
lease of each attempt. It ends with the connection to its worker.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from cvq.context.base import StopRequestedError
from cvq.errors import PermanentError
from cvq.ids import AttemptId
from cvq.inference import Answer
from cvq.kinds import get_kind, make_spec
from cvq.kinds.kind import Kind
from cvq.kinds.running import seed_generators
from cvq.kinds.spec import Spec
from cvq.pictures import images
from cvq.settings import Settings

from .. import results
from ..failures import Failure, describe
from ..inference.bulk import answer, only_item, result_of, write_files
from ..inference.runner import DeviceLostError, Runner
from ..protocol import (
    Alive,
    BatchJob,
    BatchRequest,
    Loaded,
    Ping,
    PulseOfWorker,
    Request,
    Serve,
    Served,
    Up,
    WarmRequest,
)
from .context import JobContext
from .main import prepare_process, send_failure, send_result
from .models import LoadedModels
from .process_state import ProcessState, is_crowded, own_memory
from .sockets import JobSockets

log = logging.getLogger("cvq.job")

_T = TypeVar("_T")


class WarmControl(JobSockets):
    """The sockets of a warm process."""

    def __init__(self, events: int, pulse: int) -> None:
        super().__init__(events, pulse)
        self._files: queue.SimpleQueue[str] = queue.SimpleQueue()

    def begin(self) -> None:
        """Answer the worker from now on, and say that the process waits for work."""
        self._listen_in_thread("cvq-pulse")
        self._answer(Up())

    def next(self) -> str:
        """The file of the next micro-batch; waits for it."""
        return self._files.get()

    def confirm(self) -> None:
        """Nothing that an inference does could be confirmed."""
        raise PermanentError("ctx.confirm() is for jobs with a process of their own")

    def _check(self) -> None:
        """End a child that an inference has forked: its answers are nobody's."""
        if not self.is_own:
            os._exit(0)

    def _hear(self, message: PulseOfWorker) -> None:
        if isinstance(message, Ping):
            self._answer(Alive())
        elif isinstance(message, Serve):
            self._files.put(message.file)


def serve(warm_file: Path, events: int, pulse: int) -> int:
    """Answer micro-batches until the worker hangs up.

    Args:
        warm_file: a `WarmRequest` as JSON.
        events, pulse: descriptors of the sockets to the worker.
    """
    request = WarmRequest(**json.loads(warm_file.read_text()))
    control = WarmControl(events, pulse)
    prepare_process(Path(request.folder), request.environment)
    images.limit_pixels(request.max_pixels)
    settings = Settings(kinds=request.kinds)
    kind_of = cache(lambda name: get_kind(name, settings))  # looking for plug-ins takes 50 ms
    models = LoadedModels(request.device, request.models, request.threads, Path(request.folder))
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(request.threads)
    state = ProcessState()
    control.begin()
    while True:
        file = control.next()
        loaded = partial(control.send, Loaded(file))
        batch = BatchRequest.read(Path(file))
        _MicroBatch(batch, request, control, models, kind_of).run(loaded)
        control.send(Served(file, models.keys, own_memory(), state.changes(), is_crowded()))


class _MicroBatch:
    """Jobs of one batch key on their way from a request to an end of each."""

    def __init__(
        self,
        batch: BatchRequest,
        warm: WarmRequest,
        control: WarmControl,
        models: LoadedModels,
        kind_of: Callable[[str], Kind],
    ) -> None:
        self._batch, self._warm, self._control = batch, warm, control
        self._models, self._kind_of = models, kind_of

    def run(self, loaded: Callable[[], None]) -> None:
        """Answer all items; what goes wrong for all fails each.

        Args:
            loaded: called once the model is there.

        Raises:
            DeviceLostError: the process is of no use any more; who is at fault is not known.
        """
        jobs = self._batch.jobs
        try:
            kind = self._kind_of(self._batch.kind)
            specs = self._each(jobs, partial(self._spec_of, kind))
            if not specs:
                return
            spec = specs[0][1]
            runner = self._models.runner(self._batch.batch_key, kind, spec)
            # As in a process of its own, and whatever another inference has drawn before.
            seed_generators(spec.seed)
        except Exception as error:
            self._fail(jobs, describe(error))
            return
        loaded()
        self._answer(kind, runner, specs)

    def _each(
        self, jobs: Iterable[BatchJob], act: Callable[[BatchJob], _T]
    ) -> list[tuple[BatchJob, _T]]:
        """What comes out for each job; one for which that fails, fails alone."""
        found = []
        for job in jobs:
            try:
                found.append((job, act(job)))
            except Exception as error:
                self._fail([job], describe(error))
        return found

    def _fail(self, jobs: Iterable[BatchJob], failure: Failure) -> None:
        for job in jobs:
            send_failure(self._control, _attempt_of(job), failure)

    def _spec_of(self, kind: Kind, job: BatchJob) -> Spec:
        spec = make_spec(kind, job.spec)
        files = zip(spec.inputs(), job.inputs, strict=True)
        return spec.with_inputs(file.placed(staged) for file, staged in files)

    def _answer(self, kind: Kind, runner: Runner, jobs: Sequence[tuple[BatchJob, Spec]]) -> None:
        """Jobs of one item share batches; one with a shard fills batches by itself."""
        specs = {_attempt_of(job): spec for job, spec in jobs}
        only = self._each(
            (job for job, _ in jobs),
            lambda job: only_item(runner.inference, specs[_attempt_of(job)]),
        )
        single: list[tuple[BatchJob, Any]] = []
        for job, item in only:
            if item is not None:
                single.append((job, item[0]))
            else:
                self._answer_alone(kind, runner, job, specs[_attempt_of(job)])
        answers = runner.stream(item for _, item in single)
        for (job, _), found in zip(single, answers, strict=True):
            self._end(kind, job, found, runner)

    def _end(self, kind: Kind, job: BatchJob, found: Answer | Failure, runner: Runner) -> None:
        """Say how the only item of a job has ended."""
        attempt = _attempt_of(job)
        if isinstance(found, Failure):
            send_failure(self._control, attempt, found)
            return
        try:
            if found.files:
                write_files(found, self._context_of(kind, job))
            encoded = results.write(result_of(found, runner), self._folder_of(job))
            send_result(self._control, attempt, encoded)
        except Exception as error:  # a full disk, a result that is too large
            send_failure(self._control, attempt, describe(error))

    def _answer_alone(self, kind: Kind, runner: Runner, job: BatchJob, spec: Spec) -> None:
        attempt, folder = _attempt_of(job), self._folder_of(job)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            result = answer(runner, spec, self._context_of(kind, job))
            send_result(self._control, attempt, results.write(result, folder))
        except DeviceLostError:
            raise
        except (Exception, StopRequestedError) as error:
            send_failure(self._control, attempt, describe(error))

    def _folder_of(self, job: BatchJob) -> Path:
        return Path(self._batch.folder) / f"{job.job_id}-{job.attempt}"

    def _context_of(self, kind: Kind, job: BatchJob) -> JobContext:
        request = Request(
            job_id=job.job_id,
            attempt=job.attempt,
            kind=kind.name,
            spec=job.spec,
            spec_hash=job.spec_hash,
            inputs=job.inputs,
            folder=str(self._folder_of(job)),
            cache=self._warm.cache,
            device=self._warm.device,
            threads=self._warm.threads,
            environment={},
            kinds=self._warm.kinds,
            checkpoint=None,
            checkpoint_every=3600.0,
            max_pixels=self._warm.max_pixels,
            notes=[],
            in_batch=True,
        )
        return JobContext(request, self._control, kind.goals)


def _attempt_of(job: BatchJob) -> AttemptId:
    return AttemptId(job.job_id, job.attempt)
