"""One job in the hands of a Python program."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Never, Self, TypeAlias, TypeVar, overload

from . import queries
from .errors import CvqError, JobCancelledError, JobFailedError, UsageError, WaitTimeoutError
from .lifecycle import jobs
from .looks import POLL_S, Deadline, Looks, watch, watch_async
from .records import Artifact, Job
from .results import choose, looked_at, missing_copies, results_of, targets
from .states import State
from .text import exactly

if TYPE_CHECKING:
    from PIL.Image import Image

    from .client import Client
    from .estimates import Estimate

# Reading the database this often costs nothing and works after the fact, with Redis or without.
T = TypeVar("T")


class _OfRow(Generic[T]):
    """An attribute that a handle has from its row, of the type that it has there."""

    def __init__(self, of: Callable[[Job], T]) -> None:
        self._of = of

    @overload
    def __get__(self, handle: None, owner: type[JobHandle]) -> Self: ...

    @overload
    def __get__(self, handle: JobHandle, owner: type[JobHandle]) -> T: ...

    def __get__(self, handle: JobHandle | None, owner: type[JobHandle]) -> Self | T:
        return self if handle is None else self._of(handle.job)

    def __set__(self, handle: JobHandle, value: Never) -> Never:
        raise AttributeError("what a handle says of its job cannot be set")


class JobHandle:
    """One job: what `Client.submit`, `job`, `jobs`, `wait` and `cancel` give.

    It has the attributes of `cvq.records.Job`, such as `state`, `metrics` and `result`, as of the
    last look; `refresh()` and `wait()` look anew.
    """

    kind = _OfRow(lambda job: job.kind)
    queue = _OfRow(lambda job: job.queue)
    priority = _OfRow(lambda job: job.priority)
    user = _OfRow(lambda job: job.user)
    name = _OfRow(lambda job: job.name)
    tags = _OfRow(lambda job: job.tags)
    spec = _OfRow(lambda job: job.spec)
    spec_hash = _OfRow(lambda job: job.spec_hash)
    device = _OfRow(lambda job: job.device)
    time_limit = _OfRow(lambda job: job.time_limit)
    soft_time_limit = _OfRow(lambda job: job.soft_time_limit)
    state = _OfRow(lambda job: job.state)
    reason = _OfRow(lambda job: job.reason)
    attempt = _OfRow(lambda job: job.attempt)
    max_attempts = _OfRow(lambda job: job.max_attempts)
    lease_owner = _OfRow(lambda job: job.lease_owner)
    lease_until = _OfRow(lambda job: job.lease_until)
    cancel_requested = _OfRow(lambda job: job.cancel_requested)
    not_before = _OfRow(lambda job: job.not_before)
    progress = _OfRow(lambda job: job.progress)
    metrics = _OfRow(lambda job: job.metrics)
    goals = _OfRow(lambda job: job.goals)
    batch = _OfRow(lambda job: job.batch)
    batch_key = _OfRow(lambda job: job.batch_key)
    sweep = _OfRow(lambda job: job.sweep)
    note = _OfRow(lambda job: job.note)
    origin = _OfRow(lambda job: job.origin)
    identity = _OfRow(lambda job: job.identity)
    twin_of = _OfRow(lambda job: job.twin_of)
    made_from = _OfRow(lambda job: job.made_from)
    trashed_at = _OfRow(lambda job: job.trashed_at)
    headline = _OfRow(lambda job: job.headline)
    result = _OfRow(lambda job: job.result)
    error = _OfRow(lambda job: job.error)
    created_at = _OfRow(lambda job: job.created_at)
    queued_at = _OfRow(lambda job: job.queued_at)
    started_at = _OfRow(lambda job: job.started_at)
    finished_at = _OfRow(lambda job: job.finished_at)
    damage = _OfRow(lambda job: job.damage)
    attempt_id = _OfRow(lambda job: job.attempt_id)
    finished = _OfRow(lambda job: job.finished)
    warnings = _OfRow(lambda job: job.warnings)
    seconds = _OfRow(lambda job: job.seconds)

    def __init__(self, client: Client, job_id: int, job: Job | None = None) -> None:
        self.client = client
        self._id = job_id
        self._job = job

    def __repr__(self) -> str:
        try:
            return repr(self.job)
        except CvqError:  # it was not looked at yet, and cannot be
            return f"<Job {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JobHandle) and self.id == other.id and self.client is other.client

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def id(self) -> int:
        """The number by which it is known."""
        return self._id

    @property
    def job(self) -> Job:
        """The row of the database as of the last look."""
        if self._job is None:
            with self.client.db.read() as connection:
                self._job = queries.get_job(connection, self.id)
        return self._job

    def refresh(self) -> Self:
        """Look again; return this very job.

        Raises:
            UnknownJobError: there is no such job.
        """
        self._job = None
        _ = self.job
        return self

    def take(self, job: Job) -> None:
        """Take a row that was just read for the last look."""
        self._job = job

    def wait(
        self,
        timeout: float | None = None,
        *,
        check: bool = True,
        on_look: Callable[[Job], None] | None = None,
    ) -> Self:
        """Wait for the end of the job; return this very job.

        Args:
            timeout: seconds; None waits for ever.
            check: raise where the job did not succeed.
            on_look: called with the row at every look, about seven times a second.

        Raises:
            WaitTimeoutError: the job has not ended in time; it goes on.
            JobFailedError: it failed.
            JobCancelledError: it was cancelled.
        """
        watch(self._looks(timeout), on_look)
        if check:
            raise_for_state(self.job)
        return self

    async def wait_async(
        self,
        timeout: float | None = None,
        *,
        check: bool = True,
        on_look: Callable[[Job], None] | None = None,
    ) -> Self:
        """The same beside an event loop, which goes on: `await job.wait_async()`.

        What is cancelled leaves the job alone.
        """
        await watch_async(self._looks(timeout), on_look)
        if check:
            raise_for_state(self.job)
        return self

    def _looks(self, timeout: float | None) -> Looks[Job]:
        deadline = Deadline(timeout)
        while True:
            job = self.refresh().job
            ends = job.finished or deadline.is_over
            yield job, 0.0 if ends else deadline.pause(POLL_S)
            if job.finished:
                return
            if ends:
                raise overdue(job, timeout or 0)

    def cancel(self) -> Self:
        """Cancel the job: at once where it waits, within a second where it runs.

        Raises:
            UnknownJobError: there is no such job.
        """
        with self.client.db.write() as connection:
            self._job = jobs.cancel(connection, self.id, self.client.settings.user)
        return self

    def retry(self) -> Self:
        """Queue the job again, once it has failed or was cancelled: see `Client.retry`.

        Raises:
            UsageError: it has not, or cannot be tried again.
        """
        self.client.retry(self)
        return self.refresh()

    def tag(self, tags: str | Sequence[str] | Mapping[str, str | None]) -> Self:
        """Give the job tags, as `Client.tag` does: `job.tag("for=paper")`."""
        self.client.tag(self, tags)
        return self.refresh()

    def untag(self, *keys: str) -> Self:
        """Take tags away."""
        self.client.untag(self, *keys)
        return self.refresh()

    def annotate(self, note: str | None) -> Self:
        """Write a note on the job, which is `note` from then on; None takes it away."""
        self.client.annotate(self, note)
        return self.refresh()

    def rename(self, name: str | None) -> Self:
        """Give the job another name; None takes it away."""
        self.client.rename(self, name)
        return self.refresh()

    def estimate(self) -> Estimate | None:
        """How long it will take, when it will start and end; None where it has ended."""
        from .estimates import of_job

        job = self.refresh().job
        with self.client.db.read() as connection:
            return of_job(connection, job)

    def to_json(self) -> dict[str, Any]:
        """The documented shape, with the files that the job has left so far."""
        return self.client.to_json(self)

    @property
    def artifacts(self) -> list[Artifact]:
        """The files that the job has left so far."""
        return self.client.artifacts_of(self.id)

    @property
    def results(self) -> list[Artifact]:
        """What the job was run for: see `cvq.results.results_of`."""
        return results_of(self.artifacts)

    def image(self, name: str | None = None) -> Image:
        """The first picture of the job's results, or the last that it has drawn, upright.

        Args:
            name: of another file, or a pattern of which it is the first.

        Returns:
            Of Pillow, in mode RGB, or RGBA where something is transparent.

        Raises:
            UsageError: there is no such picture, or it is damaged.
            StoreError: it is not in the store.
        """
        from tempfile import TemporaryDirectory

        from .pictures.images import PictureError
        from .pictures.shown import shown

        file = next(iter(looked_at(self.artifacts, name)), None)
        if file is None:
            like = "" if name is None else f" like '{name}'"
            raise UsageError(f"job {self.id} has no picture{like}")
        with TemporaryDirectory(prefix="cvq-") as folder:
            try:
                path = self.client.readable(self, file, Path(folder))
                return shown(path, max_pixels=self.client.settings.max_pixels)
            except PictureError as error:
                raise UsageError(f"job {self.id}: {file.name} {error}") from None

    def show(self, name: str | None = None) -> None:
        """Show that picture: in a notebook's cell, or in Pillow's viewer."""
        image = self.image(name)
        shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
        if shell is None:
            image.show()
        else:
            sys.modules["IPython"].display.display(image)

    def _repr_html_(self) -> str | None:
        """The job with its picture and curves; None, and so the usual text, where that fails."""
        from .notebook.jobs import job_html

        try:
            return job_html(self)
        except Exception:  # a notebook's cell shows what it can
            return None

    def logs(self) -> list[str]:
        """The lines that the job has written so far."""
        with self.client.db.read() as connection:
            return [row.text for row in queries.logs_of(connection, self.id)]

    def curve(self, name: str, *, attempt: int | None = None) -> list[tuple[int, float | None]]:
        """A metric over the steps: (step, value).

        Attempts that resumed one another make one curve; `attempt` asks for a single one's.
        """
        with self.client.db.read() as connection:
            found = queries.merged_points(connection, self.id, names=[name], attempt=attempt)
        return [(point.step, point.value) for point in found.get(name, [])]

    def save(
        self,
        folder: Path | str = ".",
        *,
        role: str | None = None,
        name: str = "*",
        force: bool = False,
    ) -> list[Path]:
        """Copy the job's files into a folder, as `cvq get` does; return their paths.

        Args:
            folder: made where it is not there.
            role: which files; the results when not given, `all` for every role.
            name: a pattern, as in `*.png`.
            force: overwrite files that are there with other content.

        Raises:
            UsageError: a file is there with other content; nothing was copied.
            StoreError: a file is not in the store, or damaged.
        """
        plan = targets(choose(self.artifacts, role, name), Path(folder))
        for artifact, target in missing_copies(plan, force=force):
            self.client.fetch(self.id, artifact, target)
        return [target for _, target in plan]


JobLike: TypeAlias = int | Job | JobHandle
"""A job wherever one is asked for: as it was given, or by its id."""


def id_of(job: JobLike) -> int:
    """The id of a job.

    Raises:
        UsageError: it is none.
    """
    if isinstance(job, Job | JobHandle):
        return job.id
    if isinstance(job, int) and not isinstance(job, bool):
        return job
    raise UsageError(f"{job!r} is not a job: give a job or its id")


def overdue(job: Job, timeout: float) -> WaitTimeoutError:
    """What tells of a job that has not ended within so many seconds."""
    return WaitTimeoutError(
        f"job {job.id} is still {job.state} after {exactly(timeout)}: it was not cancelled; "
        f"`cvq watch {job.id}` follows it"
    )


def raise_for_state(job: Job) -> None:
    """Raise what tells of a job that ended otherwise than well.

    Raises:
        JobFailedError: it failed.
        JobCancelledError: it was cancelled.
    """
    if job.state == State.CANCELLED:
        raise JobCancelledError(f"job {job.id} was cancelled")
    if job.finished and job.state != State.SUCCEEDED:
        cause = (job.error or "").strip().splitlines()
        raise JobFailedError(
            f"job {job.id} failed ({job.reason}){': ' + cause[-1] if cause else ''}"
        )
