"""Every statement that only reads: jobs, logs, metrics, artifacts, workers, queues."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, Table, func, select

from . import tables as t
from .batch import Batch
from .errors import UsageError
from .given import among
from .ids import AttemptId
from .missing import no_batch, no_job
from .records import Artifact, Attempt, Event, Job, Lease, StoredLine, StoredPoint, Summary, Worker
from .states import Role, State, WorkerState
from .tables import now


def get_job(connection: Connection, job_id: int) -> Job:
    """The job of this id.

    Raises:
        UnknownJobError: there is none.
    """
    row = connection.execute(select(t.jobs).where(t.jobs.c.id == job_id)).one_or_none()
    if row is None:
        raise no_job(connection, job_id)
    return Job.from_row(row)


def get_jobs(connection: Connection, job_ids: Collection[int]) -> list[Job]:
    """The jobs of these ids that there are, in order."""
    query = select(t.jobs).where(among(t.jobs.c.id, job_ids)).order_by(t.jobs.c.id)
    return [Job.from_row(row) for row in connection.execute(query).all()]


def jobs_in_order(connection: Connection, job_ids: Sequence[int]) -> list[Job]:
    """The jobs of these ids, in the order given, each once.

    Raises:
        UnknownJobError: there is none of an id.
    """
    found = {job.id: job for job in get_jobs(connection, job_ids)}
    for job_id in job_ids:
        if job_id not in found:
            raise no_job(connection, job_id)
    return [found[job_id] for job_id in dict.fromkeys(job_ids)]


def last_attempts_of(connection: Connection, jobs: Collection[Job]) -> dict[int, Attempt]:
    """The last attempt of each of some jobs that has had one."""
    a = t.attempts.c
    query = (
        select(t.attempts)
        .join(t.jobs, (t.jobs.c.id == a.job_id) & (t.jobs.c.attempt == a.number))
        .where(among(a.job_id, [job.id for job in jobs]))
    )
    return {row.job_id: Attempt.from_row(row) for row in connection.execute(query).all()}


def last_jobs(connection: Connection, user: str, back: int) -> int:
    """The id of this user's last job, or the one `back` before it.

    Raises:
        UsageError: there are not that many.
    """
    found = connection.scalar(
        select(t.jobs.c.id)
        .where(t.jobs.c.user == user)
        .order_by(t.jobs.c.id.desc())
        .offset(back)
        .limit(1)
    )
    if found is None:
        reference = f"@~{back}" if back else "@"
        raise UsageError(f"no job {reference}: you ({user}) have not submitted that many")
    return int(found)


def ids_between(connection: Connection, first: int, last: int) -> list[int]:
    """The ids that exist in a range, both ends included, in order."""
    query = select(t.jobs.c.id).where(t.jobs.c.id.between(first, last)).order_by(t.jobs.c.id)
    return list(connection.scalars(query).all())


def get_batch(connection: Connection, batch_id: int) -> Batch:
    """The batch of this id.

    Raises:
        UnknownBatchError: there is none.
    """
    row = connection.execute(select(t.batches).where(t.batches.c.id == batch_id)).one_or_none()
    if row is None:
        raise no_batch(connection, batch_id)
    return Batch.from_row(row, states_of_batches(connection, [batch_id])[batch_id])


def last_batches(
    connection: Connection, users: Collection[str] = (), limit: int | None = None
) -> list[Batch]:
    """Batches, the newest first."""
    b = t.batches.c
    query = select(t.batches).order_by(b.id.desc()).limit(limit)
    return _batches(connection, query.where(b.user.in_(users)) if users else query)


def unfinished_batches(connection: Connection, limit: int) -> list[Batch]:
    """The newest batches that have a job which has not ended."""
    unfinished = t.in_state(State.WAITING, State.QUEUED, State.RUNNING)
    one = select(t.jobs.c.id).where(t.jobs.c.batch == t.batches.c.id, unfinished)
    query = select(t.batches).where(one.exists()).order_by(t.batches.c.id.desc()).limit(limit)
    return _batches(connection, query)


def _batches(connection: Connection, query: Select[Any]) -> list[Batch]:
    rows = connection.execute(query).all()
    states = states_of_batches(connection, [row.id for row in rows])
    return [Batch.from_row(row, states[row.id]) for row in rows]


def states_of_batches(
    connection: Connection, batch_ids: Collection[int]
) -> dict[int, dict[str, int]]:
    """How many jobs of each batch are in each state that has any."""
    jobs = t.jobs.c
    query = (
        select(jobs.batch, jobs.state, func.count())
        .where(among(jobs.batch, batch_ids))
        .group_by(jobs.batch, jobs.state)
    )
    found: dict[int, dict[str, int]] = {batch_id: {} for batch_id in batch_ids}
    for batch_id, state, number in connection.execute(query).all():
        found[batch_id][state] = number
    return found


def batches_with_manifest(connection: Connection, cache_key: str, limit: int) -> list[Batch]:
    """The newest batches that may answer items of this key, the newest first."""
    b = t.batches.c
    query = select(t.batches).where(b.cache_key == cache_key, b.manifest.is_not(None))
    rows = connection.execute(query.order_by(b.id.desc()).limit(limit)).all()
    return [Batch.from_row(row, {}) for row in rows]


def ids_and_states(connection: Connection, batch_id: int) -> list[tuple[int, str]]:
    """The ids of a batch's jobs with their states, in the order of its items."""
    jobs = t.jobs.c
    query = select(jobs.id, jobs.state).where(jobs.batch == batch_id).order_by(jobs.id)
    return [(row.id, row.state) for row in connection.execute(query)]


def ids_with_figure(
    connection: Connection, batch_id: int, name: str, marked: tuple[str, str] | None = None
) -> set[int]:
    """The jobs of a batch in whose result a number is more than 0.

    Args:
        connection: the transaction.
        batch_id: of the batch.
        name: of the number.
        marked: a field of the result, and the text that it must have.
    """
    s = t.summaries.c
    query = (
        select(s.job_id)
        .join(t.jobs, t.jobs.c.id == s.job_id)
        .where(t.jobs.c.batch == batch_id, s.name == name, s.source == "result", s.value > 0)
    )
    if marked is not None:
        query = query.where(t.readable(t.jobs.c.result)[marked[0]].as_string() == marked[1])
    return set(connection.scalars(query))


def succeeded_among(connection: Connection, job_ids: Iterable[int]) -> set[int]:
    """Those of some jobs that there are, and that have succeeded."""
    jobs = t.jobs.c
    query = select(jobs.id).where(among(jobs.id, job_ids), t.in_state(State.SUCCEEDED))
    return set(connection.scalars(query))


def ids_of_batch(
    connection: Connection,
    batch_id: int,
    states: Collection[str] = (),
    limit: int | None = None,
) -> list[int]:
    """The ids of a batch's jobs, of all or of those in some states, in the order of its items."""
    jobs = t.jobs.c
    query = select(jobs.id).where(jobs.batch == batch_id).order_by(jobs.id).limit(limit)
    return list(connection.scalars(query.where(jobs.state.in_(states)) if states else query))


def artifacts_of(connection: Connection, job_ids: Iterable[int]) -> dict[int, list[Artifact]]:
    """The artifacts of some jobs, oldest first.

    Of a name that several attempts left, only the newest is given.
    """
    ids = list(job_ids)
    found: dict[int, dict[str, Artifact]] = {job_id: {} for job_id in ids}
    query = select(t.artifacts).where(among(t.artifacts.c.job_id, ids)).order_by(t.artifacts.c.id)
    for row in connection.execute(query).all():
        named = found[row.job_id]
        named.pop(row.name, None)
        named[row.name] = Artifact.from_row(row)
    return {job_id: list(named.values()) for job_id, named in found.items()}


def attempts_of(connection: Connection, job_id: int) -> list[Attempt]:
    """The attempts of a job in order."""
    query = select(t.attempts).where(t.attempts.c.job_id == job_id).order_by(t.attempts.c.number)
    return [Attempt.from_row(row) for row in connection.execute(query).all()]


def events_of(connection: Connection, job_id: int) -> list[Event]:
    """What happened to a job, in order."""
    query = (
        _columns(t.events, Event._fields)
        .where(t.events.c.job_id == job_id)
        .order_by(t.events.c.id)
    )
    return [Event(*row) for row in connection.execute(query).all()]


def checkpoints_of(connection: Connection, job_id: int) -> list[Artifact]:
    """The checkpoints of a job, of all its attempts, the newest first."""
    rows = connection.execute(
        select(t.artifacts)
        .where(t.artifacts.c.job_id == job_id, t.artifacts.c.role == Role.CHECKPOINT)
        .order_by(t.artifacts.c.id.desc())
    ).all()
    return [Artifact.from_row(row) for row in rows]


def model_of(connection: Connection, job_id: int) -> Artifact | None:
    """The model that a job's last attempt has left for inference, if any."""
    row = connection.execute(
        select(t.artifacts)
        .where(t.artifacts.c.job_id == job_id, t.artifacts.c.role == Role.MODEL)
        .order_by(t.artifacts.c.id.desc())
        .limit(1)
    ).first()
    return None if row is None else Artifact.from_row(row)


def parents_of(connection: Connection, job_id: int) -> list[Job]:
    """The jobs that a job waits for."""
    rows = connection.execute(
        select(t.jobs)
        .join(t.dependencies, t.dependencies.c.parent_id == t.jobs.c.id)
        .where(t.dependencies.c.job_id == job_id)
    ).all()
    return [Job.from_row(row) for row in rows]


def awaited_by(connection: Connection, job_id: int) -> list[Job]:
    """The queued and running jobs that a job waits for, also by way of others that wait.

    One waits for the job that does the same, too, whose result it is to share.
    """
    jobs = t.jobs.c
    twins = select(jobs.id, jobs.twin_of).where(
        t.in_state(State.WAITING), jobs.twin_of.is_not(None)
    )
    every = select(t.dependencies.c.job_id, t.dependencies.c.parent_id).union_all(twins)
    links = every.subquery("links").c
    found = select(links.parent_id).where(links.job_id == job_id).cte("awaited", recursive=True)
    found = found.union(
        select(links.parent_id)
        .join(t.jobs, jobs.id == links.job_id)
        .join(found, found.c.parent_id == jobs.id)
        .where(t.in_state(State.WAITING))
    )
    rows = connection.execute(
        select(t.jobs)
        .where(jobs.id.in_(select(found.c.parent_id)), t.in_state(State.QUEUED, State.RUNNING))
        .order_by(jobs.id)
    ).all()
    return [Job.from_row(row) for row in rows]


def run_times(connection: Connection, kind: str, most: int = 50) -> list[float]:
    """How long the last succeeded jobs of a kind ran, in seconds (the last attempt of each)."""
    jobs = t.jobs.c
    rows = connection.execute(
        select(jobs.started_at, jobs.finished_at)
        .where(
            jobs.kind == kind,
            jobs.state == State.SUCCEEDED,
            jobs.started_at.is_not(None),
            jobs.finished_at.is_not(None),
        )
        .order_by(jobs.id.desc())
        .limit(most)
    ).all()
    return [(row.finished_at - row.started_at).total_seconds() for row in rows]


def summaries_of(connection: Connection, job_id: int) -> dict[str, Summary]:
    """The summary of each metric of a job, damaged rows left out."""
    s = t.summaries.c
    query = _columns(t.summaries, Summary._fields).where(s.job_id == job_id, s.source == "metrics")
    rows = [Summary(*row) for row in connection.execute(query.order_by(s.name)).all()]
    whole = [row for row in rows if _are_figures(row.value, row.last, row.min, row.max, row.best)]
    return {row.name: row for row in whole if isinstance(row.name, str)}


def _columns(table: Table, names: Sequence[str]) -> Select[Any]:
    """Some columns of a table, in this order."""
    return select(*(table.c[name] for name in names))


def _are_figures(*values: Any) -> bool:
    """Whether columns hold numbers or nothing: in SQLite, a hand may have put in anything."""
    return all(value is None or isinstance(value, int | float) for value in values)


def last_sign(connection: Connection, attempt: AttemptId) -> datetime | None:
    """When an attempt wrote its newest log line or metric, by its host's clock."""
    times = [
        connection.scalar(
            select(table.c.time)
            .where(table.c.job_id == attempt.job_id, table.c.attempt == attempt.attempt)
            .order_by(table.c.id.desc())
            .limit(1)
        )
        for table in (t.logs, t.metrics)
    ]
    return max((time for time in times if time is not None), default=None)


def logs_of(
    connection: Connection,
    job_id: int,
    *,
    after: int = 0,
    attempt: int | None = None,
    stream: str | None = None,
    since: datetime | None = None,
    tail: int | None = None,
) -> list[StoredLine]:
    """Log lines in order: those with an id above `after`, or the last `tail` of them."""
    conditions = [t.logs.c.job_id == job_id, t.logs.c.id > after]
    if stream is not None:
        conditions.append(t.logs.c.stream == stream)
    if attempt is not None:
        conditions.append(t.logs.c.attempt == attempt)
    if since is not None:
        conditions.append(t.logs.c.time >= since)
    query = _columns(t.logs, StoredLine._fields).where(*conditions)
    if tail is None:
        rows = connection.execute(query.order_by(t.logs.c.id)).all()
    else:
        rows = connection.execute(query.order_by(t.logs.c.id.desc()).limit(tail)).all()[::-1]
    return [StoredLine(*row) for row in rows]


def metric_points(
    connection: Connection,
    job_id: int,
    *,
    names: Sequence[str] = (),
    attempt: int | None = None,
    after: int = 0,
) -> list[StoredPoint]:
    """Metric points as written, damaged rows left out."""
    conditions = [t.metrics.c.job_id == job_id, t.metrics.c.id > after]
    if names:
        conditions.append(t.metrics.c.name.in_(names))
    if attempt is not None:
        conditions.append(t.metrics.c.attempt == attempt)
    query = _columns(t.metrics, StoredPoint._fields).where(*conditions).order_by(t.metrics.c.id)
    return [
        StoredPoint(*row)
        for row in connection.execute(query).all()
        if isinstance(row.name, str) and isinstance(row.step, int) and _are_figures(row.value)
    ]


def merged_points(
    connection: Connection, job_id: int, *, names: Sequence[str] = (), attempt: int | None = None
) -> dict[str, list[StoredPoint]]:
    """The curve of each metric over all attempts (or of one), in the order of its steps.

    An attempt that resumed goes on where the one before had its checkpoint, so its first point
    takes the place of whatever the earlier attempts wrote from that step on. A job that shares the
    result of another has the curves of that one.
    """
    wrote = job_id if attempt is not None else writer_of(connection, job_id)
    points = metric_points(connection, wrote, names=names, attempt=attempt)
    curves: dict[str, list[StoredPoint]] = {}
    attempts: dict[str, int] = {}
    for point in points:
        curve = curves.setdefault(point.name, [])
        if attempts.setdefault(point.name, point.attempt) != point.attempt:
            attempts[point.name] = point.attempt
            while curve and curve[-1].step >= point.step:
                curve.pop()
        curve.append(point._replace(job_id=job_id))
    return curves


def writer_of(connection: Connection, job_id: int) -> int:
    """The job that wrote a job's points: itself, or the one whose result it shares."""
    jobs = t.jobs.c
    shared = select(jobs.twin_of).where(jobs.id == job_id, t.in_state(State.SUCCEEDED))
    return connection.scalar(shared) or job_id


def count_states(connection: Connection) -> dict[str, int]:
    """How many jobs there are in each state that has any."""
    query = select(t.jobs.c.state, func.count()).group_by(t.jobs.c.state)
    return {row[0]: row[1] for row in connection.execute(query).all()}


def queued_by_queue(connection: Connection) -> dict[str, int]:
    """How many jobs are queued on each queue that has any."""
    query = (
        select(t.jobs.c.queue, func.count())
        .where(t.in_state(State.QUEUED))
        .group_by(t.jobs.c.queue)
    )
    return {row[0]: row[1] for row in connection.execute(query).all()}


def held_leases(connection: Connection) -> list[Lease]:
    """The leases of all running jobs."""
    jobs = t.jobs.c
    rows = connection.execute(
        select(
            jobs.id,
            jobs.attempt,
            jobs.lease_until,
            (jobs.lease_until < now()).label("expired"),
            t.workers.c.lease,
        )
        .outerjoin_from(t.jobs, t.workers, t.workers.c.id == jobs.lease_owner)
        .where(t.in_state(State.RUNNING))
    ).all()
    return [
        Lease(AttemptId(row.id, row.attempt), row.lease_until, bool(row.expired), row.lease)
        for row in rows
    ]


def any_waiting(connection: Connection) -> bool:
    """Whether a job waits for its time or for another job."""
    return bool(
        connection.scalar(select(select(t.jobs.c.id).where(t.in_state(State.WAITING)).exists()))
    )


def workers(connection: Connection, *, also_gone: bool = False) -> list[Worker]:
    """Workers, in the order in which they have started."""
    query = select(t.workers, now().label("now")).order_by(t.workers.c.started_at)
    if not also_gone:
        query = query.where(t.workers.c.state != WorkerState.GONE)
    running: dict[str, list[int]] = {}
    for job_id, owner in connection.execute(
        select(t.jobs.c.id, t.jobs.c.lease_owner)
        .where(t.in_state(State.RUNNING))
        .order_by(t.jobs.c.id)
    ).all():
        running.setdefault(owner, []).append(job_id)
    rows = connection.execute(query).all()
    return [Worker.from_row(row, running.get(row.id, ())) for row in rows]


def live_workers(connection: Connection, queue: str | None = None) -> list[Worker]:
    """The workers that are alive and up, of one queue or of any."""
    return [
        worker
        for worker in workers(connection)
        if worker.alive
        and worker.state == WorkerState.UP
        and (queue is None or queue in worker.queues)
    ]


def database_time(connection: Connection) -> datetime:
    """The database's clock."""
    time: datetime = connection.scalar(select(now()))  # type: ignore[assignment]
    return time
