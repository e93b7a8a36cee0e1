"""What a client does with jobs that there are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from .. import queries
from ..batch_handle import notify_all
from ..errors import StoreError, UsageError
from ..handle import JobHandle, JobLike, id_of, overdue, raise_for_state
from ..job_list import JobList
from ..lifecycle import jobs as life
from ..lifecycle import retrying
from ..looks import Deadline, Looks, pause_after, watch, watch_async
from ..records import Artifact, Job
from .asking import Asking
from .connections import several

_AT_ONCE = 5_000


class Acting(Asking):
    """Waits for jobs, cancels them, tries them again, and copies what they have left."""

    def wait_all(
        self,
        jobs: JobLike | Iterable[JobLike],
        timeout: float | None = None,
        *,
        check: bool = True,
        on_look: Callable[[list[Job]], None] | None = None,
    ) -> JobList:
        """Wait for the end of several jobs; return them in the order given.

        Args:
            jobs: jobs, or their ids.
            timeout: seconds for all of them together; None waits for ever.
            check: raise where one did not succeed, once all have ended.
            on_look: called with the rows of all of them at every look, seven times a second at
                most. What it raises ends the waiting, and no job.

        Raises:
            UnknownJobError: there is no such job.
            WaitTimeoutError: one has not ended in time; all go on.
            JobFailedError: one failed.
            JobCancelledError: one was cancelled.
        """
        handles = self._handles(jobs)
        watch(self._looks(handles, timeout), on_look)
        return _checked(handles) if check else handles

    async def wait_all_async(
        self,
        jobs: JobLike | Iterable[JobLike],
        timeout: float | None = None,
        *,
        check: bool = True,
        on_look: Callable[[list[Job]], None] | None = None,
    ) -> JobList:
        """The same beside an event loop, which goes on; who is cancelled leaves the jobs alone."""
        handles = self._handles(jobs)
        await watch_async(self._looks(handles, timeout), on_look)
        return _checked(handles) if check else handles

    def wait(
        self,
        jobs: JobLike | Iterable[JobLike],
        timeout: float | None = None,
        *,
        check: bool = True,
    ) -> JobList:
        """Wait for one job or several: see `wait_all`."""
        return self.wait_all(jobs, timeout, check=check)

    def _handles(self, jobs: JobLike | Iterable[JobLike]) -> JobList:
        return JobList(self._client, map(self._handle, several(jobs)))

    def _looks(self, handles: JobList, timeout: float | None) -> Looks[list[Job]]:
        deadline, left = Deadline(timeout), list(handles)
        while True:
            begun = time.monotonic()
            self.look_at(left)
            left = [handle for handle in left if not handle.finished]
            rows = [handle.job for handle in handles]
            ends = not left or deadline.is_over
            pause = pause_after(begun)
            yield rows, 0.0 if ends else deadline.pause(pause)
            if not left:
                return
            if ends:
                raise overdue(left[0].job, timeout or 0)

    def cancel(self, job: JobLike) -> JobHandle:
        """Cancel a job: at once where it waits, within a second where it runs.

        Raises:
            UnknownJobError: there is no such job.
        """
        return self._handle(job).cancel()

    def cancel_all(self, wanted: Iterable[JobLike]) -> list[Job]:
        """Cancel many jobs, as `cancel` does each; return them as they are then, in order of ids.

        Those that have ended, or that there are not, are left as they are.
        """
        ids = sorted(map(id_of, wanted))
        found: list[Job] = []
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            with self.db.write() as connection:
                life.cancel_all(connection, some, self.settings.user)
                found += queries.get_jobs(connection, some)
        return found

    def retry(self, jobs: JobLike | Iterable[JobLike]) -> JobList:
        """Queue jobs again that have failed or were cancelled, as the jobs that they are.

        Their attempts count on, and each goes on from its last checkpoint, where it has one.

        Returns:
            those that are tried again, in the order given; the others are left as they are.

        Raises:
            UnknownJobError: there is no such job; nothing was queued.
            UsageError: none of them can be tried again, which is said of the first.
        """
        handles = JobList(self._client, dict.fromkeys(map(self._handle, several(jobs))))
        self.look_at(handles)
        queues: dict[int, str] = {}
        ids = [handle.id for handle in handles]
        for start in range(0, len(ids), _AT_ONCE):
            with self.db.write() as connection:
                some = ids[start : start + _AT_ONCE]
                queues |= retrying.retry(connection, some, self.settings.user)
        if handles and not queues:
            raise UsageError(_none_again(handles.refresh()))
        notify_all(self._client, queues, "what is to be tried again")
        return JobList(self._client, (each for each in handles if each.id in queues)).refresh()

    def fetch(self, job: JobLike, artifact: Artifact, target: Path) -> Path:
        """Copy one of a job's files to a local path, whole or not at all.

        Where the job has replaced it meanwhile, the one that took its name is copied.

        Raises:
            StoreError: it is not there, or damaged.
        """
        return self._of_store(job, artifact, lambda now: self.artifacts.fetch(now, target))

    def readable(self, job: JobLike, artifact: Artifact, folder: Path) -> Path:
        """A path to read one of a job's files from: its own, or a copy in `folder`; checked.

        Nothing may be written there: where the store is on this machine, it is the store's file.

        Raises:
            StoreError: it is not there, or damaged.
        """
        return self._of_store(
            job, artifact, lambda now: self.artifacts.fetch_readable(now, folder)
        )

    def _of_store(self, job: JobLike, artifact: Artifact, get: Callable[[Artifact], Path]) -> Path:
        while True:
            try:
                return get(artifact)
            except StoreError:
                files = self.artifacts_of(job)
                now = next((a for a in files if a.name == artifact.name), artifact)
                if now.uri == artifact.uri:
                    raise
                artifact = now


def _none_again(handles: JobList) -> str:
    """What tells that none of some jobs can be tried again."""
    first = handles[0].job
    why = retrying.why_not(first) or f"job {first.id} is {first.state}"
    if len(handles) == 1:
        return why
    return f"none of these {len(handles)} jobs can be tried again: {why}"


def _checked(handles: JobList) -> JobList:
    for handle in handles:
        raise_for_state(handle.job)
    return handles
