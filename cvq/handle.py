"""One job in the hands of a Python program."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import queries
from .errors import JobCancelledError, JobFailedError, WaitTimeoutError
from .jobs import Artifact, Job
from .results import choose, missing_copies, results_of, targets
from .tables import CANCELLED, SUCCEEDED

if TYPE_CHECKING:
    from .client import Client

# Reading the database this often costs nothing and works after the fact, with Redis or without.
POLL_S = 0.15
_COLUMNS = frozenset(Job.__dataclass_fields__)


class JobHandle:
    """One job, asked for anew by `refresh()` and `wait()`.

    `state`, `metrics`, `result` and so on are as of the last look; what is not named here is an
    attribute of `cvq.jobs.Job`.
    """

    def __init__(self, client: Client, job_id: int) -> None:
        self.client = client
        self.id = job_id
        self._job: Job | None = None

    def __repr__(self) -> str:
        return f"<job {self.id} {self.job.kind} {self.job.state}>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or (not hasattr(Job, name) and name not in _COLUMNS):
            raise AttributeError(f"a job has no attribute '{name}'")
        return getattr(self.job, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_COLUMNS})

    @property
    def kind(self) -> str:
        """The job kind."""
        return self.job.kind

    @property
    def state(self) -> str:
        """waiting, queued, running, succeeded, failed or cancelled."""
        return self.job.state

    @property
    def reason(self) -> str | None:
        """Why it is in that state, in a word: `error`, `oom`, `preempted`."""
        return self.job.reason

    @property
    def finished(self) -> bool:
        """Whether it has come to its end, good or bad."""
        return self.job.finished

    @property
    def name(self) -> str | None:
        """What its user calls it."""
        return self.job.name

    @property
    def tags(self) -> dict[str, str]:
        """Words to find it by."""
        return self.job.tags

    @property
    def spec(self) -> dict[str, Any]:
        """Its specification as JSON."""
        return self.job.spec

    @property
    def progress(self) -> dict[str, Any] | None:
        """How far it is: `done`, `total`, `unit`, `eta_s`."""
        return self.job.progress

    @property
    def metrics(self) -> dict[str, float | None]:
        """The figure that counts of each metric; None where it was not finite."""
        return self.job.metrics

    @property
    def result(self) -> Any:
        """What its code returned; None before it has succeeded."""
        return self.job.result

    @property
    def error(self) -> str | None:
        """What went wrong in its last attempt."""
        return self.job.error

    @property
    def job(self) -> Job:
        """The job as of the last look."""
        return self._job or self.refresh()

    def refresh(self) -> Job:
        """Look again."""
        with self.client.db.read() as session:
            self._job = queries.get_job(session, self.id)
        return self._job

    def wait(
        self,
        timeout: float | None = None,
        *,
        check: bool = True,
        on_look: Callable[[Job], None] | None = None,
    ) -> Job:
        """Wait for the end of the job.

        Args:
            timeout: seconds; None waits for ever.
            check: raise where the job did not succeed.
            on_look: called with the job at every look, about seven times a second.

        Raises:
            WaitTimeoutError: the job has not ended in time; it goes on.
            JobFailedError: it failed.
            JobCancelledError: it was cancelled.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            job = self.refresh()
            if on_look is not None:
                on_look(job)
            if job.finished:
                break
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeoutError(
                    f"job {self.id} is still {job.state} after {timeout:g} s: it goes on; "
                    f"`cvq watch {self.id}` follows it"
                )
            time.sleep(POLL_S)
        if check:
            raise_for_state(job)
        return job

    def cancel(self) -> Job:
        """Cancel the job."""
        self._job = self.client.cancel(self.id)
        return self._job

    @property
    def artifacts(self) -> list[Artifact]:
        """The files that the job has left so far."""
        return self.client._files(self.id)

    @property
    def results(self) -> list[Artifact]:
        """What the job was run for: see `cvq.results.results_of`."""
        return results_of(self.artifacts)

    def logs(self) -> list[str]:
        """The lines that the job has written so far."""
        with self.client.db.read() as session:
            return [row.text for row in queries.logs_of(session, self.id)]

    def curve(self, name: str, *, attempt: int | None = None) -> list[tuple[int, float | None]]:
        """A metric over the steps: (step, value).

        Attempts that resumed one another make one curve; `attempt` asks for a single one's.
        """
        with self.client.db.read() as session:
            found = queries.merged_points(session, self.id, names=[name], attempt=attempt)
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


def raise_for_state(job: Job) -> None:
    """Raise what tells of a job that ended otherwise than well.

    Raises:
        JobFailedError: it failed.
        JobCancelledError: it was cancelled.
    """
    if job.state == CANCELLED:
        raise JobCancelledError(f"job {job.id} was cancelled")
    if job.finished and job.state != SUCCEEDED:
        cause = (job.error or "").strip().splitlines()
        raise JobFailedError(
            f"job {job.id} failed ({job.reason}){': ' + cause[-1] if cause else ''}"
        )
