"""What can be asked: of jobs that are there, of batches, and of jobs that might be submitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection, select

from .. import tables as t
from ..records import Job, NewJob
from ..states import State
from .estimate import Estimate
from .estimating import Estimating

if TYPE_CHECKING:
    from ..batch import Batch
    from ..checks import JobOptions
    from ..db import Database
    from ..kinds.kind import Kind
    from ..kinds.spec import Spec
    from ..settings import Settings

_LAST = 20  # jobs of a batch, of which one ends last
_MOST = 1_000  # specifications that are looked at


class Asks(Protocol):
    """What is needed of a client."""

    @property
    def db(self) -> Database: ...  # noqa: D102
    @property
    def settings(self) -> Settings: ...  # noqa: D102


def of_job(connection: Connection, job: Job, now: datetime | None = None) -> Estimate | None:
    """How long a job will take, and when it will start and end; None of one that has ended.

    Args:
        connection: reads only.
        job: as it was read.
        now: instead of the database's time.
    """
    return of_unfinished(connection, [job], now).get(job.id)


def of_unfinished(
    connection: Connection, jobs: Sequence[Job], now: datetime | None = None
) -> dict[int, Estimate]:
    """The same of several jobs, by their ids; those that have ended are left out."""
    unfinished = [job for job in jobs if not job.finished]
    if not unfinished:
        return {}
    kinds = {job.kind for job in unfinished}
    estimating = Estimating(connection, kinds.pop() if len(kinds) == 1 else None, now)
    running = [job for job in unfinished if job.state == State.RUNNING]
    pending = [job for job in unfinished if job.state != State.RUNNING]
    found = {job.id: estimating.of_running(job) for job in running}
    return found | estimating.of_pending(pending)


def of_batch(connection: Connection, batch: Batch, now: datetime | None = None) -> Estimate | None:
    """When a batch will have ended; None where all its jobs have at least begun."""
    states = [state for state in (State.QUEUED, State.WAITING) if batch.states.get(state)]
    if not states:
        return None
    jobs = t.jobs.c
    pending = select(t.jobs).where(jobs.batch == batch.id, jobs.state.in_(states))
    first = connection.execute(pending.order_by(jobs.id).limit(1)).first()
    last = connection.execute(pending.order_by(jobs.id.desc()).limit(_LAST)).all()
    if first is None:
        return None
    return Estimating(connection, batch.kind, now).of_batch(
        Job.from_row(first),
        [Job.from_row(row) for row in last],
        sum(batch.states[state] for state in states),
        begun=sum(batch.states.get(state, 0) for state in states) < batch.jobs,
    )


def of_new(
    connection: Connection, jobs: Sequence[NewJob], total: int | None = None
) -> Estimate | None:
    """What jobs of one kind would take, were they submitted now; None of none.

    Args:
        connection: reads only.
        jobs: alike but for their specifications.
        total: how many they are, where some stand for all.
    """
    if not jobs:
        return None
    return Estimating(connection, jobs[0].kind).of_new(jobs, total or len(jobs))


def of_jobs(
    client: Asks,
    kind: Kind,
    specs: Sequence[Spec | Mapping[str, Any]],
    options: JobOptions,
    total: int | None = None,
) -> Estimate | None:
    """What jobs with these specifications would take, were they submitted now; None of none.

    Args:
        client: whose database is asked, and whose user would submit them.
        kind: of the jobs.
        specs: of each job, checked, or as JSON; input files need not be in the store.
        options: what they would be submitted with.
        total: how many they are, where some stand for all.
    """
    step = max(1, len(specs) // _MOST)
    some = [options.job(kind, _as_json(spec), client.settings.user) for spec in specs[::step]]
    with client.db.read() as connection:
        return of_new(connection, some, total or len(specs))


def _as_json(spec: Spec | Mapping[str, Any]) -> dict[str, Any]:
    """A specification as JSON; of a file that is not in the store yet, how large it is."""
    if isinstance(spec, Mapping):
        return dict(spec)
    files = []
    for file in spec.inputs():
        if file.sha256 is None and file.path is not None:
            known = file.path.stat().st_size if file.path.is_file() else None
            file = file.model_copy(update={"sha256": "", "bytes": known})
        files.append(file)
    return spec.with_inputs(files).model_dump(mode="json")
