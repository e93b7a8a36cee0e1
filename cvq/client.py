"""The Python client: what the command line does, as a library."""

from __future__ import annotations

import hashlib
import json
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from . import queries, store
from .artifacts import ArtifactStore, open_store
from .db import Database
from .errors import (
    BrokerError,
    BrokerTimeoutError,
    CvqError,
    JobCancelledError,
    JobFailedError,
    StoreError,
    UsageError,
    WaitTimeoutError,
)
from .inputs import check_inputs, store_inputs
from .jobs import Artifact, Job, NewJob
from .kinds import get_kind, make_spec
from .kinds.spec import InputFile, Spec
from .matching import Needs, worker_misfit
from .queue import Broker
from .results import choose, missing_copies, results_of, targets
from .settings import Settings
from .tables import CANCELLED, QUEUED, SUCCEEDED

# Reading the database this often costs nothing and works after the fact, with Redis or without.
POLL_S = 0.15
_LONGEST_NAME = 150


class Client:
    """Submits jobs and asks for their history.

    Args:
        settings: read from the environment and `cvq.toml` when not given.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.load()

    @cached_property
    def db(self) -> Database:
        """The database, its schema checked (and made, where it is the embedded one)."""
        database = Database(self.settings)
        database.ensure_schema()
        return database

    @cached_property
    def broker(self) -> Broker:
        """The doorbells."""
        return Broker(self.settings)

    @cached_property
    def artifacts(self) -> ArtifactStore:
        """The artifact store."""
        return open_store(self.settings)

    def submit(
        self,
        kind: str,
        *,
        priority: int = 5,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        after: Sequence[int] = (),
        at: datetime | None = None,
        retries: int = 2,
        time_limit: float | None = None,
        soft_time_limit: float | None = None,
        gpu: bool | None = None,
        queue: str | None = None,
        on_pack: Callable[[int, int], None] | None = None,
        **values: Any,
    ) -> JobHandle:
        """Validate, store the inputs, enter the job in the database, then ring the doorbell.

        Args:
            kind: the job kind, as `cvq kinds` lists them.
            priority: 0 to 9, 9 first.
            name: for people; need not be unique.
            tags: words to find the job by.
            after: ids of jobs that must succeed first.
            at: an aware time before which the job does not start.
            retries: attempts after the first that crashes or loses its worker.
            time_limit: seconds after which an attempt is killed.
            soft_time_limit: seconds after which an attempt is asked to stop; it saves a
                checkpoint. Where there is a `time_limit`, less than that.
            gpu: True for a GPU worker only, False for no GPU even where there is one.
            queue: a queue other than the default.
            on_pack: told how many files of a data folder are packed, and of how many.
            values: the fields of the kind's specification; files as paths.

        Raises:
            UsageError: a value, name or file is wrong; nothing was queued.
            SetupError: the database, Redis or the store fails; nothing was queued.
        """
        spec = make_spec(get_kind(kind, self.settings), values)
        _check_options(priority, retries)
        _check_limits(time_limit, soft_time_limit)
        trainings = check_inputs(spec, self.settings, lambda: self.db, download=True)
        trouble = self._broker_trouble()
        database = self.db
        store_inputs(spec, self.artifacts, on_pack)
        dumped = spec.model_dump(mode="json")
        job = NewJob(
            kind=kind,
            spec=dumped,
            spec_hash=_digest(kind, dumped),
            user=self.settings.user,
            queue=queue or ("gpu" if gpu else "default"),
            priority=priority,
            name=name,
            tags={str(key): str(value) for key, value in (tags or {}).items()},
            device={True: "gpu", False: "cpu", None: None}[gpu],
            time_limit=time_limit,
            soft_time_limit=soft_time_limit,
            max_attempts=retries + 1,
            not_before=at,
            goals=dict(spec.goals) or None,
            after=tuple(dict.fromkeys([*after, *trainings])),
        )
        _check_storable(job)
        with database.write() as session:
            job_id = store.submit(session, job)
        self._ring(job.queue, job_id, trouble)
        return JobHandle(self, job_id)

    def check(
        self,
        kind: str,
        *,
        priority: int = 5,
        retries: int = 2,
        time_limit: float | None = None,
        soft_time_limit: float | None = None,
        **values: Any,
    ) -> Spec:
        """Check everything that `submit` checks, queue nothing, and return the specification.

        Raises:
            UsageError: a value, name or file is wrong.
        """
        spec = make_spec(get_kind(kind, self.settings), values)
        _check_options(priority, retries)
        _check_limits(time_limit, soft_time_limit)
        check_inputs(spec, self.settings, lambda: self.db)
        return spec

    def job(self, job_id: int) -> JobHandle:
        """A handle on an existing job.

        Raises:
            UnknownJobError: there is no such job.
        """
        handle = JobHandle(self, job_id)
        handle.refresh()
        return handle

    def jobs(self, wanted: queries.Filter | None = None) -> list[Job]:
        """Jobs of the history, the newest first."""
        with self.db.read() as session:
            return queries.list_jobs(session, wanted or queries.Filter())

    def cancel(self, job_id: int) -> Job:
        """Cancel a job: at once where it waits, within a second where it runs.

        Raises:
            UnknownJobError: there is no such job.
        """
        with self.db.write() as session:
            return store.cancel(session, job_id, self.settings.user)

    def fetch(self, job_id: int, artifact: Artifact, target: Path) -> Path:
        """Copy one of a job's files to a local path, whole or not at all.

        Where the job has replaced it meanwhile, the one that took its name is copied.

        Raises:
            StoreError: it is not there, or damaged.
        """
        while True:
            try:
                return self.artifacts.fetch(artifact, target)
            except StoreError:
                now = next((a for a in self._files(job_id) if a.name == artifact.name), artifact)
                if now.uri == artifact.uri:
                    raise
                artifact = now

    def _files(self, job_id: int) -> list[Artifact]:
        with self.db.read() as session:
            return queries.artifacts_of(session, [job_id])[job_id]

    def to_json(self, job: Job) -> dict[str, Any]:
        """A job in the documented JSON shape."""
        with self.db.read() as session:
            return job.to_json(queries.artifacts_of(session, [job.id])[job.id])

    def _broker_trouble(self) -> BrokerError | None:
        """Ask for a PONG before the job exists, so that a dead Redis leaves none behind.

        One that is there and slow keeps no job from being queued, and is asked once.
        """
        try:
            self.broker.connect()
        except BrokerTimeoutError as error:
            return error
        return None

    def _ring(self, queue: str, job_id: int, trouble: BrokerError | None) -> None:
        try:
            if trouble is not None:
                raise trouble
            self.broker.ring(queue)
        except BrokerError as error:
            # The job is safe; a worker finds it by itself when Redis is back.
            warnings.warn(f"job {job_id} is queued, but {error}", stacklevel=3)


class JobHandle:
    """One job, asked for anew by `refresh()` and `wait()`.

    Attributes that are not named here are those of `cvq.jobs.Job`: `state`, `metrics`, `result`,
    `error` and so on, as of the last look.
    """

    def __init__(self, client: Client, job_id: int) -> None:
        self.client = client
        self.id = job_id
        self._job: Job | None = None

    def __repr__(self) -> str:
        return f"<job {self.id} {self.job.kind} {self.job.state}>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.job, name)

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


def unserved(client: Client, job: Job) -> str | None:
    """Why no live worker would take a queued job, in a line; None where one would."""
    if job.state != QUEUED:
        return None
    with client.db.read() as session:
        serving = queries.live_workers(session, job.queue)
    if not serving:
        return f"no live worker serves the queue '{job.queue}': `cvq up -d` starts one"
    needs = Needs.of(job)
    misfits = [worker_misfit(needs, worker["devices"], worker["kinds"]) for worker in serving]
    if None in misfits:
        return None
    return f"no live worker can run job {job.id} now: `cvq why {job.id}` says what it needs"


def _check_options(priority: int, retries: int) -> None:
    if not 0 <= priority <= 9:
        raise UsageError(f"priority {priority}: give 0 to 9, 9 first")
    if not 0 <= retries <= 100:
        raise UsageError(f"retries {retries}: give 0 to 100")


def _check_limits(hard: float | None, soft: float | None) -> None:
    for what, limit in (("time limit", hard), ("soft time limit", soft)):
        if limit is not None and not 0 < limit < math.inf:
            raise UsageError(f"{what} {limit:g} s: give a finite time above 0")
    if hard is not None and soft is not None and soft >= hard:
        raise UsageError(
            f"soft time limit {soft:g} s: give less than the time limit of {hard:g} s"
        )


def _check_storable(job: NewJob) -> None:
    """Refuse what one database would take and another would not."""
    for what, value in (("name", job.name), ("queue", job.queue)):
        if value is not None and not 0 < len(value) <= _LONGEST_NAME:
            raise UsageError(f"{what}: give 1 to {_LONGEST_NAME} characters")
    for key in job.tags:
        if not key or any(character in key for character in '"\\'):
            raise UsageError(f"tag {key!r}: a key has no quotes and no backslashes")
    for what, given in (
        ("name", job.name),
        ("queue", job.queue),
        ("tags", job.tags),
        (f"{job.kind}: the specification", job.spec),
    ):
        if store.storable(given) != given:
            raise UsageError(f"{what} has a character that no database stores (NUL, half a pair)")


def _digest(kind: str, spec: dict[str, Any]) -> str:
    canonical = json.dumps([kind, spec], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


__all__ = ["Client", "CvqError", "InputFile", "JobHandle", "raise_for_state", "unserved"]
