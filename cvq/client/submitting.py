"""How a client's jobs come to be: checked, their inputs stored, entered, the workers notified."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..batch_handle import BatchHandle
from ..broker.endings import listening
from ..checks import JobOptions
from ..errors import BrokerError, BrokerTimeoutError, UsageError
from ..handle import JobHandle, JobLike, id_of, overdue, raise_for_state
from ..identity import identities
from ..inputs.submission import InputChecks, check_inputs, fetched_inputs, store_inputs
from ..kinds import get_kind, make_spec
from ..kinds.code import code_of
from ..kinds.kind import Kind
from ..kinds.spec import Spec
from ..lifecycle import batches, jobs
from ..origin import WorkingFolder, origin
from ..records import Job, NewJob
from ..views.models import JobModels
from .connections import Connections, several

if TYPE_CHECKING:
    from ..bulk import OnItem
    from ..estimates import Estimate

_MOST_DOORBELLS = 256
_LISTEN_S = 0.5  # between two looks at a job of whose end nothing is heard


class Submitting(Connections):
    """Jobs, single ones and batches, from values to the doorbell."""

    def submit(
        self,
        kind: str,
        *,
        priority: int = 5,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        after: JobLike | Iterable[JobLike] = (),
        at: datetime | None = None,
        retries: int = 2,
        time_limit: float | None = None,
        soft_time_limit: float | None = None,
        gpu: bool | None = None,
        queue: str | None = None,
        cache: bool = True,
        on_pack: Callable[[int, int], None] | None = None,
        **values: Any,
    ) -> JobHandle:
        """Validate, store the inputs, enter the job in the database, then notify the workers.

        Where a job has done the same already (`Kind.cache`), the new one has succeeded at once and
        has that one's result; where one is at it, it waits for that. `twin_of` says which.

        Args:
            kind: the job kind, as `cvq kinds` lists them.
            priority: 0 to 9, 9 first.
            name: for people; need not be unique.
            tags: words to find the job by.
            after: a job that must succeed first, or several.
            at: an aware time before which the job does not start.
            retries: attempts after the first that crashes or loses its worker.
            time_limit: seconds after which an attempt is killed.
            soft_time_limit: seconds after which an attempt is asked to stop; it saves a
                checkpoint. Where there is a `time_limit`, less than that.
            gpu: True for a GPU worker only, False for no GPU even where there is one.
            queue: a queue other than the default.
            cache: False computes anew what an equal job has computed.
            on_pack: told how many files of a data folder are packed, and of how many.
            values: the fields of the kind's specification; files as paths, the job that a model
                comes from as it is: `submit("classify", images="shoe.png", model=job)`.

        Raises:
            UsageError: a value, name or file is wrong; nothing was queued.
            SetupError: the database, Redis or the store fails; nothing was queued.
        """
        found = get_kind(kind, self.settings)
        spec = make_spec(found, with_ids(values))
        options = JobOptions(
            priority=priority,
            name=name,
            tags=tags,
            after=[id_of(job) for job in several(after)],
            at=at,
            retries=retries,
            time_limit=time_limit,
            soft_time_limit=soft_time_limit,
            gpu=gpu,
            queue=queue,
        )
        return self._submit(found, spec, options, on_pack, cache=cache)

    def _submit(
        self,
        kind: Kind,
        spec: Spec,
        options: JobOptions,
        on_pack: Callable[[int, int], None] | None = None,
        *,
        cache: bool = True,
        warm: bool = False,
    ) -> JobHandle:
        """Store the inputs, enter the job, and notify the workers; `warm` is for a warm slot."""
        # While the inputs are stored, git looks at the working folder; not where each ms counts.
        with nullcontext() if warm else WorkingFolder(spec.work_folder) as folder:
            with fetched_inputs(spec, self.settings, download=True) as fetched:
                checked = self._checked(fetched)
                trouble = self._broker_trouble()
                _ = self.db  # one that is away is told before anything is stored
                spec = store_inputs(checked.spec, self.artifacts, on_pack)
            code = code_of(kind)
            job = options.job(
                kind, spec.model_dump(mode="json"), self.settings.user, checked.waits_for
            )
            job = replace(job, origin=origin(self.settings.host, code, folder))
        if warm:
            job = replace(job, batch_key=kind.batch_key(job.spec))
        return self._enter(kind, spec, job, cache=cache and not warm, trouble=trouble)

    def _enter(
        self, kind: Kind, spec: Spec, job: NewJob, *, cache: bool, trouble: BrokerError | None
    ) -> JobHandle:
        """Enter a job, all of whose inputs are stored, and notify the workers."""
        with self.db.read() if kind.cache else nullcontext() as reading:
            code = jobs.code_of(job)
            alike = identities(reading, kind, spec, code, job.device) if reading else []
        if alike and job.batch_key is None:
            job = replace(job, identity=alike[0])
        with self.db.write() as connection:
            job_id = jobs.submit(connection, job, alike if cache else ())
        handle = self._handle(job_id)
        if not (alike and handle.finished):
            self.notify(job.queue, f"job {job_id}", trouble=trouble)
        return handle

    async def submit_async(self, kind: str, **values: Any) -> JobHandle:
        """`submit` beside an event loop, which goes on while inputs are read and stored.

        It is with `submit` in a thread: one that is cancelled may still have queued its job.
        """
        import asyncio  # which takes 40 ms that no command needs

        return await asyncio.to_thread(self.submit, kind, **values)

    def infer(
        self,
        kind: str,
        item: Any,
        *,
        timeout: float | None = 60.0,
        priority: int = 9,
        gpu: bool | None = None,
        queue: str | None = None,
        **values: Any,
    ) -> dict[str, Any]:
        """Have one item answered by a model that a worker keeps loaded, and return its answer.

        It is a job like any other: in the history, leased, tried again. A worker that is free and
        has the model loaded answers within some tens of milliseconds.

            client.infer("classify", "shoe.png", model=42)["class"]

        Args:
            kind: a job kind with an inference.
            item: the item: a path, or whatever the kind's field of items takes.
            timeout: seconds until this gives up; the job goes on.
            priority: 0 to 9, 9 first.
            gpu, queue: as for `submit`.
            values: the other fields of the specification.

        Raises:
            UsageError: a value or the item is wrong, or the kind has no inference.
            WaitTimeoutError: there was no answer in time.
            JobFailedError: the item has no answer; the message says why.
        """
        found = get_kind(kind, self.settings)
        if found.inference is None or found.items is None:
            raise UsageError(f"{kind} jobs are not answered by a loaded model: submit them")
        spec = make_spec(found, with_ids({**values, found.items: item}))
        options = JobOptions(priority=priority, gpu=gpu, queue=queue)
        deadline = None if timeout is None else time.monotonic() + timeout
        with listening(self.broker) as listener:
            handle = self._submit(found, spec, options, warm=True)
            while not handle.refresh().finished:
                left = math.inf if deadline is None else deadline - time.monotonic()
                if left <= 0:
                    raise overdue(handle.job, timeout or 0)
                listener.wait([handle.id], min(left, _LISTEN_S))
        raise_for_state(handle.job)
        return dict(handle.result)

    async def infer_async(
        self, kind: str, item: Any, *, timeout: float | None = 60.0, **values: Any
    ) -> dict[str, Any]:
        """`infer` beside an event loop; one that is cancelled may still be answered."""
        import asyncio

        return await asyncio.to_thread(self.infer, kind, item, timeout=timeout, **values)

    def submit_many(
        self,
        kind: str,
        items: Iterable[Any] | str | Path,
        *,
        priority: int = 5,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        after: JobLike | Iterable[JobLike] = (),
        at: datetime | None = None,
        retries: int = 2,
        time_limit: float | None = None,
        soft_time_limit: float | None = None,
        gpu: bool | None = None,
        queue: str | None = None,
        strict: bool = False,
        max_fails: int | None = None,
        single: bool = False,
        each: bool = False,
        cache: bool = True,
        on_item: OnItem | None = None,
        **values: Any,
    ) -> BatchHandle:
        """Submit a job for each item, all of them as one batch: at once, or none.

        A bad item becomes a job that has failed, with its reason, and stops none of the others.
        More than 2,000 pictures go into shards of 1,000, a job each. An item whose content an
        earlier batch has answered, of the same kind, model and parameters, needs no job: the
        results have that answer.

        Args:
            kind: a job kind whose jobs have items, such as `classify`.
            items: paths, addresses, or values of the field that has a kind's items. A single path
                is a source: `photos/`, `@list.txt`, `photos.zip`; see `cvq.inputs.sources`.
            name: of the batch. Each job is named after its item.
            strict: refuse all where one item is bad.
            max_fails: once so many items have failed, cancel the rest.
            single: shards in any case.
            each: a job for each item in any case.
            cache: False computes anew what earlier batches have answered.
            on_item: told how many items are stored, and of how many where that is known; also
                called while none is ready. What it raises ends the submission.
            values: the other fields of the specification, the same for all.

        The other arguments are those of `submit`, for each job.

        Raises:
            UsageError: a value is wrong, or no item can be used; nothing was queued.
            SetupError: the database, Redis or the store fails; nothing was queued.
        """
        from ..bulk import Bulk, prepare  # which a single job need not load

        options = JobOptions(
            priority=priority,
            name=name,
            tags=tags,
            after=[id_of(job) for job in several(after)],
            at=at,
            retries=retries,
            time_limit=time_limit,
            soft_time_limit=soft_time_limit,
            gpu=gpu,
            queue=queue,
        )
        found = get_kind(kind, self.settings)
        wanted = Bulk(
            found, with_ids(values), options, strict, max_fails, single, each, cache
        )  # fmt: skip
        self._broker_trouble()  # before the long work, which would be for nothing
        batch, new = prepare(self._client, wanted, items, on_item)
        trouble = self._broker_trouble()
        with self.db.write() as connection:
            batch_id = batches.submit(connection, batch, new.jobs, options.after, new.known)
        runnable = sum(job.error is None for job in new.jobs)
        if runnable:
            self.notify(options.place, f"batch {batch_id}", runnable, trouble)
        return self._batch_handle(batch_id, sorted(new.known))

    def check(
        self,
        kind: str,
        *,
        priority: int = 5,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        retries: int = 2,
        time_limit: float | None = None,
        soft_time_limit: float | None = None,
        queue: str = "default",
        **values: Any,
    ) -> Spec:
        """Check everything that `submit` checks, queue nothing, and return the specification.

        Raises:
            UsageError: a value, name or file is wrong.
        """
        spec = make_spec(get_kind(kind, self.settings), with_ids(values))
        JobOptions(
            priority=priority,
            name=name,
            tags=tags,
            retries=retries,
            time_limit=time_limit,
            soft_time_limit=soft_time_limit,
            queue=queue,
        )
        with fetched_inputs(spec, self.settings, download=False) as fetched:
            return self._checked(fetched).spec

    def estimate(
        self,
        kind: str,
        *,
        priority: int = 5,
        after: JobLike | Iterable[JobLike] = (),
        at: datetime | None = None,
        gpu: bool | None = None,
        queue: str | None = None,
        **values: Any,
    ) -> Estimate:
        """What a job would take, were it submitted now: time, start, end, GPU-hours.

        Learnt from the history of the same kind and device, and from the queue as it is.

            told = client.estimate("style-transfer", content="a.jpg", style="b.jpg", size=1024)
            told.time.middle, told.ends_at.high

        Args:
            kind: the job kind.
            priority, after, at, gpu, queue: as for `submit`.
            values: the fields of the kind's specification.

        Raises:
            UsageError: a value, name or file is wrong.
        """
        from ..estimates import of_jobs  # which no submission needs

        found = get_kind(kind, self.settings)
        spec = make_spec(found, with_ids(values))
        with fetched_inputs(spec, self.settings, download=False) as fetched:
            checked = self._checked(fetched)
            options = JobOptions(
                priority=priority,
                after=[*(id_of(job) for job in several(after)), *checked.waits_for],
                at=at,
                gpu=gpu,
                queue=queue,
            )
            told = of_jobs(self, found, [checked.spec], options)
        assert told is not None
        return told

    def _checked(self, spec: Spec) -> InputChecks:
        """The inputs checked; what is to be noted is warned of."""
        checked = check_inputs(spec, self.settings, JobModels(self.settings, lambda: self.db))
        for note in checked.notes:
            warnings.warn(note, stacklevel=3)
        return checked

    def _broker_trouble(self) -> BrokerError | None:
        """Ask for a PONG before the job exists, so that a dead Redis leaves none behind.

        One that is there and slow keeps no job from being queued, and is asked once.
        """
        try:
            self.broker.connect()
        except BrokerTimeoutError as error:
            return error
        return None

    def notify(
        self, queue: str, what: str, jobs: int = 1, trouble: BrokerError | None = None
    ) -> None:
        """Wake slots for jobs that are queued; where Redis is away, warn, as they are safe.

        Args:
            queue: of the jobs.
            what: `job 3`, for the warning.
            jobs: how many they are.
            trouble: what Redis has said already.
        """
        try:
            if trouble is not None:
                raise trouble
            # Each wakes a slot, which goes on until nothing is queued.
            self.broker.notify(queue, min(jobs, _MOST_DOORBELLS))
        except BrokerError as error:  # a worker finds them by itself when Redis is back
            warnings.warn(f"{what} is queued, but {error}", stacklevel=3)


def with_ids(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a specification, in which a job stands as its id."""

    def plain(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [plain(each) for each in value]
        return id_of(value) if isinstance(value, Job | JobHandle) else value

    return {name: plain(value) for name, value in values.items()}
