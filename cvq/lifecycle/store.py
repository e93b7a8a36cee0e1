"""Every statement that changes a job's life: submit, claim, report, finish, cancel, reap.

Each function takes the connection first and is one step inside the caller's transaction. A worker
writes under a lease, (job, attempt); the write is refused once that attempt is not the running
one. `queries` has the statements that only read.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    text,
    true,
    update,
)

from .. import summaries
from .. import tables as t
from ..db import is_about_a_value, reason_of
from ..errors import LeaseLostError, UnknownJobError, UsageError
from ..matching import Needs, Offer, misfit
from ..records import Artifact, AttemptId, EncodedJson, Job, NewJob, Outcome
from ..states import FINAL, Reason, Role, State
from ..tables import now
from .order import fair_rank, joining_ranks, returning_rank

_RETRY_BASE_S, _RETRY_MAX_S = 2.0, 300.0
_LAST_LINES = 10
_MOST_LOOKS = 20  # at jobs that do not fit or cannot be started, in one transaction
_PIECE = 1 << 19  # characters of a large result that are sent at a time
# To start a job.
_NEEDED = ("kind", "device", "spec", "time_limit", "soft_time_limit", "attempt", "max_attempts")


class LogLine(NamedTuple):
    """A line that a job wrote; `seq` counts within the attempt, over both streams."""

    seq: int
    time: datetime
    stream: str
    text: str


class MetricPoint(NamedTuple):
    """A named number at a step."""

    name: str
    step: int
    value: float
    time: datetime


# ---------------------------------------------------------------------------- submit


def submit(connection: Connection, job: NewJob) -> int:
    """Insert a job, `queued` or (with a parent or a time to wait for) `waiting`; return its id.

    Raises:
        UnknownJobError: a parent does not exist.
    """
    for parent in job.after:
        if not connection.scalar(select(exists().where(t.jobs.c.id == parent))):
            raise UnknownJobError(parent)
    state = State.WAITING if job.after or job.not_before else State.QUEUED
    job_id: Any = connection.scalar(
        insert(t.jobs)
        .values(
            kind=job.kind,
            queue=job.queue,
            priority=job.priority,
            fair_rank=fair_rank(connection, job.queue, job.priority, job.user),
            user=job.user,
            name=job.name,
            tags=job.tags,
            spec=job.spec,
            spec_hash=job.spec_hash,
            needs=Needs.of(job).key,
            device=job.device,
            time_limit=job.time_limit,
            soft_time_limit=job.soft_time_limit,
            goals=job.declared,
            state=state,
            attempt=0,
            max_attempts=job.max_attempts,
            cancel_requested=False,
            not_before=job.not_before,
            metrics={},
            created_at=now(),
            queued_at=now() if state == State.QUEUED else None,
        )
        .returning(t.jobs.c.id)
    )
    for parent in set(job.after):
        connection.execute(insert(t.dependencies).values(job_id=job_id, parent_id=parent))
    _event(connection, job_id, "submitted", job.user)
    return int(job_id)


# ---------------------------------------------------------------------------- claim and lease


def claim(
    connection: Connection,
    *,
    worker: str,
    host: str,
    queues: Collection[str],
    token: str,
    lease: float,
    device: str | None = None,
    versions: dict[str, str] | None = None,
    offer: Offer | None = None,
) -> Job | None:
    """Take the best queued job of these queues that fits, as a new attempt, or return None.

    `token` makes it idempotent: a claim whose answer was lost after the commit is asked for
    again with the same token and returns the same job.

    `offer` says what the slot can run; without one, any job fits. A job that cannot be claimed,
    because a value of its own cannot be read or stored, fails, and the next is taken.
    """
    # A token lasts as long as its attempt, so the state need not be asked for.
    taken = connection.execute(select(t.jobs).where(t.jobs.c.claim_token == token)).one_or_none()
    if taken is not None:
        return Job.from_row(taken)
    attempt = _fit(t.attempts, worker=worker, host=host, device=device, versions=versions)
    busy: set[_Place] = set()
    for _ in range(_MOST_LOOKS):
        place = next(iter(_best_first(connection, queues, offer, busy)), None)
        if place is None:
            return None
        job_id = connection.scalar(_head(*place).with_for_update(skip_locked=True))
        if job_id is None:  # whatever there is, others are taking it
            busy.add(place)
        elif job := _take_or_pass(connection, job_id, attempt, token, lease, offer):
            return job
    return None  # the next claim goes on


# A queue, and what its jobs need (`Needs.key`); of one whose needs cannot be read, its own id.
_Place = tuple[str, str | int]


def _best_first(
    connection: Connection, queues: Collection[str], offer: Offer | None, busy: Collection[_Place]
) -> list[_Place]:
    """Where jobs are queued that may fit, the place with the best first.

    Jobs that need the same are next to each other in an index. There is one look for each need,
    however many jobs are queued.
    """
    jobs = t.jobs.c
    heads = []
    for queue in queues:
        further: ColumnElement[bool] = true()
        while head := connection.execute(
            select(jobs.needs, jobs.priority, jobs.fair_rank, jobs.id)
            .where(t.in_state(State.QUEUED), jobs.queue == queue, further)
            .order_by(jobs.needs, jobs.priority.desc(), jobs.fair_rank, jobs.id)
            .limit(1)
        ).one_or_none():
            readable = type(head.needs) is str
            needs = head.needs if readable else head.id
            own = select(jobs.needs).where(jobs.id == head.id).scalar_subquery()
            further = jobs.needs > (needs if readable else own)
            refused = offer is not None and needs in offer.refused
            if not refused and (queue, needs) not in busy:
                heads.append((-head.priority, head.fair_rank, head.id, (queue, needs)))
    return [place for *_, place in sorted(heads)]


def _head(queue: str, needs: str | int) -> Select[Any]:
    """The id of the job that comes next at a place."""
    jobs = t.jobs.c
    alike = jobs.id == needs if isinstance(needs, int) else jobs.needs == needs
    return (
        select(jobs.id)
        .where(t.in_state(State.QUEUED), jobs.queue == queue, alike)
        .order_by(jobs.priority.desc(), jobs.fair_rank, jobs.id)
        .limit(1)
    )


def _take_or_pass(
    connection: Connection,
    job_id: int,
    attempt: dict[str, Any],
    token: str,
    lease: float,
    offer: Offer | None,
) -> Job | None:
    """Take a job that this connection has locked; else leave it to others, or let it fail."""
    try:
        with connection.begin_nested():
            return _take(connection, job_id, attempt, token, lease, offer)
    except _MisfitError as misfit:
        assert offer is not None
        offer.refused.add(misfit.key)
        changes = {"needs": misfit.key}  # which it may not have yet
        connection.execute(update(t.jobs).where(t.jobs.c.id == job_id).values(**changes))
    except Exception as error:
        if not is_about_a_value(error):
            raise
        _fail_unclaimed(connection, job_id, reason_of(error), attempt["worker"])
    return None


class _MisfitError(Exception):
    """The job needs something else; `key` is that of its needs."""

    def __init__(self, key: str) -> None:
        self.key = key


def _take(
    connection: Connection,
    job_id: int,
    attempt: dict[str, Any],
    token: str,
    lease: float,
    offer: Offer | None,
) -> Job:
    row = connection.execute(
        update(t.jobs)
        .where(t.jobs.c.id == job_id)
        .values(
            state=State.RUNNING,
            attempt=t.jobs.c.attempt + 1,
            lease_owner=attempt["worker"],
            lease_until=now(lease),
            claim_token=token,
            reason=None,
            error=None,
            progress=None,
            started_at=now(),
            finished_at=None,
        )
        .returning(t.jobs)
    ).one()
    job, needs, seed = _understand(row)
    if offer is not None and misfit(needs, offer.device, offer.announced):
        raise _MisfitError(needs.key)
    connection.execute(
        insert(t.attempts).values(
            **attempt,
            **seed,
            job_id=job.id,
            number=job.attempt,
            started_at=row.started_at,
        )
    )
    _event(connection, job.id, f"attempt {job.attempt} started", attempt["worker"])
    return job


def _understand(row: Row[Any]) -> tuple[Job, Needs, dict[str, Any]]:
    """A job to be claimed, what it needs, and its seed as an attempt keeps it.

    Raises:
        UsageError: its row holds what nobody can start. Any other error is cvq's own, and is
            blamed on no job.
    """
    try:
        job = Job.from_row(row)
        needed = [job.damage[name] for name in _NEEDED if name in job.damage]
        if needed:
            raise UsageError("; ".join(needed))
        needs = Needs.of(job)
        needs.key  # noqa: B018 - made here, where what it cannot be made of is the row's fault
        return job, needs, _fit(t.attempts, seed=job.spec.get("seed"))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UsageError(f"its row cannot be read ({type(error).__name__}: {error})") from error


def _fail_unclaimed(connection: Connection, job_id: int, why: str, by: str) -> None:
    """Let a queued job fail, as nobody could ever start it."""
    error = plain(f"it cannot be started: {why}")
    connection.execute(
        update(t.jobs)
        .where(t.jobs.c.id == job_id)
        .values(state=State.FAILED, finished_at=now(), **_fit(t.jobs, reason="error", error=error))
    )
    _event(connection, job_id, "failed (error)", by)


def renew(
    connection: Connection, worker: str, lease: float, held: Iterable[AttemptId]
) -> dict[AttemptId, bool]:
    """Prolong this worker's leases; return those prolonged, each with its cancel flag.

    A job whose row is locked just now is passed over, and holds up no other: `still_held` tells it
    from one that is lost. While it is locked nobody else can take it.
    """
    wanted = set(held)
    if not wanted:
        return {}
    free = (
        select(t.jobs.c.id)
        .where(
            t.jobs.c.id.in_([lease.job_id for lease in wanted]),
            t.jobs.c.lease_owner == worker,
            t.jobs.c.state == State.RUNNING,
        )
        .with_for_update(skip_locked=True, key_share=True)
    )
    rows = connection.execute(
        update(t.jobs)
        .where(t.jobs.c.id.in_(free))
        .values(lease_until=now(lease))
        .returning(t.jobs.c.id, t.jobs.c.attempt, t.jobs.c.cancel_requested)
    ).all()
    found = {AttemptId(row.id, row.attempt): bool(row.cancel_requested) for row in rows}
    return {lease: flag for lease, flag in found.items() if lease in wanted}


def still_held(
    connection: Connection, worker: str, leases: Collection[AttemptId]
) -> set[AttemptId]:
    """Which of these leases are this worker's, whether their rows are locked or not."""
    if not leases:
        return set()
    rows = connection.execute(
        select(t.jobs.c.id, t.jobs.c.attempt).where(
            t.jobs.c.id.in_([attempt.job_id for attempt in leases]),
            t.jobs.c.lease_owner == worker,
            t.jobs.c.state == State.RUNNING,
        )
    ).all()
    return {AttemptId(row.id, row.attempt) for row in rows} & set(leases)


def _fence(connection: Connection, attempt: AttemptId) -> Job:
    """Lock the job's row and refuse whoever does not hold it."""
    row = connection.execute(
        select(t.jobs)
        .where(
            t.jobs.c.id == attempt.job_id,
            t.jobs.c.attempt == attempt.attempt,
            t.jobs.c.state == State.RUNNING,
        )
        .with_for_update()
    ).one_or_none()
    if row is None:
        raise LeaseLostError(*attempt)
    return Job.from_row(row)


# ---------------------------------------------------------------------------- report and finish


def report(
    connection: Connection,
    attempt: AttemptId,
    *,
    number: int | None = None,
    pid: int | None = None,
    progress: dict[str, Any] | None = None,
    logs: Sequence[LogLine] = (),
    metrics: Sequence[MetricPoint] = (),
    artifacts: Sequence[Artifact] = (),
) -> None:
    """Write what an attempt has produced since the last report.

    `number` counts an attempt's reports and makes them idempotent: a report whose answer was lost
    after the commit is sent again, and not written twice.

    Raises:
        LeaseLostError: the attempt is no longer the running one; nothing was written.
    """
    job = _fence(connection, attempt)
    if number is not None:
        fresh = connection.execute(
            update(t.attempts)
            .where(_is_attempt(*attempt), t.attempts.c.reports < number)
            .values(reports=number)
        )
        if not fresh.rowcount:
            return
    owner = {"job_id": attempt.job_id, "attempt": attempt.attempt}
    points = [_fit(t.metrics, **point._asdict()) for point in metrics]
    if pid is not None:
        connection.execute(update(t.attempts).where(_is_attempt(*attempt)).values(pid=pid))
    if logs:
        connection.execute(
            insert(t.logs), [owner | _fit(t.logs, **line._asdict()) for line in logs]
        )
    if points:
        connection.execute(insert(t.metrics), [owner | point for point in points])
        summaries.add_points(connection, job, points)
    for artifact in artifacts:
        described = _fit(t.artifacts, **asdict(artifact))
        connection.execute(insert(t.artifacts).values(**described | owner, created_at=now()))
    changes: dict[str, Any] = {}
    if progress is not None:
        changes["progress"] = storable(progress)
    if points:
        changes["metrics"] = job.metrics | {point["name"]: point["value"] for point in points}
    if changes:
        connection.execute(update(t.jobs).where(t.jobs.c.id == attempt.job_id).values(**changes))


def finish(
    connection: Connection, attempt: AttemptId, outcome: Outcome, by: str, *, again: bool = False
) -> str:
    """End an attempt and return the job's new state.

    A failed attempt that is worth a retry goes back to `waiting` with exponential back-off and
    jitter while attempts are left. One that a draining worker stopped goes back to `queued` and
    does not count. Neither comes back once somebody has asked to cancel the job.

    `again` says that an earlier call may have been committed and its answer lost; where it was,
    the job's state is returned.

    Raises:
        LeaseLostError: the attempt is no longer the running one; nothing was written.
    """
    if again and (state := _ended_as(connection, attempt, outcome)):
        return state
    result = _send_ahead(connection, outcome.result)
    job = _fence(connection, attempt)
    return _end_attempt(connection, job, outcome, by, result)


def _send_ahead(connection: Connection, result: Any) -> Any:
    """Bring a large result to the server before the job's row is locked; return what to store.

    Whoever wants the row, to cancel the job say, waits for no network. It goes piece by piece: in
    a transaction, a server hangs up on who takes more than ten seconds for one statement.
    """
    if not isinstance(result, EncodedJson) or connection.dialect.name != "postgresql":
        return result
    may = text("SELECT has_database_privilege(current_database(), 'TEMP')")
    if len(result.text) <= _PIECE or not connection.scalar(may):
        return result
    connection.execute(
        text("CREATE TEMPORARY TABLE cvq_pieces (number integer, piece text) ON COMMIT DROP")
    )
    add = text("INSERT INTO cvq_pieces VALUES (:number, :piece)")
    for start in range(0, len(result.text), _PIECE):
        piece = result.text[start : start + _PIECE]
        connection.execute(add, {"number": start, "piece": piece})
    return literal_column("(SELECT string_agg(piece, '' ORDER BY number)::jsonb FROM cvq_pieces)")


def _ended_as(connection: Connection, attempt: AttemptId, outcome: Outcome) -> str | None:
    """The state of a job whose attempt has ended in just this way already; else None."""
    state: str | None = connection.scalar(
        select(t.jobs.c.state)
        .join(t.attempts, t.attempts.c.job_id == t.jobs.c.id)
        .where(
            _is_attempt(*attempt),
            t.attempts.c.finished_at.is_not(None),
            t.attempts.c.outcome == _outcome_word(outcome),
        )
    )
    return state


def _outcome_word(outcome: Outcome) -> str:
    return outcome.state if outcome.state in FINAL else "stopped"


def drop_artifacts(
    connection: Connection, attempt: AttemptId, artifacts: Iterable[Artifact]
) -> None:
    """Forget files of a job, also of its earlier attempts; the caller removes them afterwards.

    Raises:
        LeaseLostError: the attempt is no longer the running one; nothing was written.
    """
    uris = [artifact.uri for artifact in artifacts]
    if uris:
        _fence(connection, attempt)
        connection.execute(
            delete(t.artifacts).where(
                t.artifacts.c.job_id == attempt.job_id, t.artifacts.c.uri.in_(uris)
            )
        )


def drop_replaced(connection: Connection, attempt: AttemptId, grace: float) -> list[Artifact]:
    """Forget files of a job whose name a later one has taken, also of its earlier attempts.

    Args:
        connection: the transaction.
        lease: the attempt that asks.
        grace: seconds for which a file is kept after it was replaced.

    Returns:
        the files that are now nobody's: the caller removes them.

    Raises:
        LeaseLostError: the attempt is no longer the running one; nothing was written.
    """
    _fence(connection, attempt)
    late = (t.artifacts.c.created_at <= now(-grace)).label("late")
    rows = connection.execute(
        select(t.artifacts, late)
        .where(t.artifacts.c.job_id == attempt.job_id, t.artifacts.c.role != Role.CHECKPOINT)
        .order_by(t.artifacts.c.id.desc())
    ).all()
    newer: dict[str, bool] = {}  # by name: whether the next younger file is old enough
    dropped = []
    for row in rows:
        if newer.get(row.name):
            dropped.append(row)
        newer[row.name] = bool(row.late)
    ids = {row.id for row in dropped}
    connection.execute(delete(t.artifacts).where(t.artifacts.c.id.in_(ids)))
    kept = {row.uri for row in rows if row.id not in ids}
    return [Artifact.from_row(row) for row in dropped if row.uri not in kept]


def _end_attempt(
    connection: Connection, job: Job, outcome: Outcome, by: str, result: Any = None
) -> str:
    """End an attempt; `result` is what to store of the outcome's."""
    state, reason = outcome.state, outcome.reason
    changes: dict[str, Any] = {"lease_owner": None, "lease_until": None, "claim_token": None}
    if state == State.FAILED and outcome.retry:
        if job.attempt < job.max_attempts:
            state = State.WAITING
            changes["not_before"] = _next_try(connection, job, outcome)
        elif job.max_attempts > 1:
            reason = "attempts-exhausted"
    if job.cancel_requested and state not in FINAL:
        state = State.CANCELLED
    if outcome.state == State.QUEUED:
        changes["max_attempts"] = job.max_attempts + 1
    at = connection.scalar(
        select(now())
    )  # once, or job and attempt would differ in what they took
    if state in FINAL:
        changes["finished_at"] = at
    if state == State.QUEUED:
        changes["queued_at"] = now()
        changes["fair_rank"] = returning_rank(connection, job.queue, job.priority)
    ended = _fit(t.jobs, reason=reason, error=outcome.error, result=result)
    if state == State.SUCCEEDED:
        numbers = summaries.numbers_of(outcome.result)
        changes["metrics"] = job.metrics | summaries.add_result(connection, job, storable(numbers))
    connection.execute(
        update(t.jobs).where(t.jobs.c.id == job.id).values(state=state, **ended, **changes)
    )
    connection.execute(
        update(t.attempts)
        .where(_is_attempt(*job.attempt_id))
        .values(
            finished_at=at,
            outcome=_outcome_word(outcome),
            peak_memory=outcome.peak_memory,
            last_lines=_last_lines(connection, job.attempt_id),
            **_fit(
                t.attempts,
                reason=outcome.reason,
                error=outcome.error,
                traceback=outcome.traceback,
            ),
        )
    )
    what = f"attempt {job.attempt} {_outcome_word(outcome)}"
    _event(connection, job.id, what + (f" ({outcome.reason})" if outcome.reason else ""), by)
    if state == State.SUCCEEDED:  # its checkpoints have served; the caller removes the files
        connection.execute(
            delete(t.artifacts).where(
                t.artifacts.c.job_id == job.id, t.artifacts.c.role == Role.CHECKPOINT
            )
        )
    if state != outcome.state or state == State.QUEUED:
        _event(connection, job.id, state + (f" ({reason})" if reason else ""), by)
    return state


def _last_lines(connection: Connection, attempt: AttemptId) -> list[str]:
    """An attempt's last words, kept beside its cause of death."""
    lines = connection.scalars(
        select(t.logs.c.text)
        .where(t.logs.c.job_id == attempt.job_id, t.logs.c.attempt == attempt.attempt)
        .order_by(t.logs.c.id.desc())
        .limit(_LAST_LINES)
    ).all()
    return list(reversed(lines))


def _is_attempt(job_id: int, number: int) -> ColumnElement[bool]:
    return and_(t.attempts.c.job_id == job_id, t.attempts.c.number == number)


def _next_try(connection: Connection, job: Job, outcome: Outcome) -> now | None:
    """When a job may begin anew: at once where it did nothing wrong, else after a pause.

    The pause grows with the job's own failures, and not with the workers that it has lost.
    """
    if outcome.reason == Reason.WORKER_LOST:
        return None
    failures = connection.scalar(
        select(func.count()).where(
            t.attempts.c.job_id == job.id,
            t.attempts.c.outcome == State.FAILED,
            t.attempts.c.reason != Reason.WORKER_LOST,
        )
    )
    return now(_backoff(1 + (failures or 0)))


def _backoff(attempt: int) -> float:
    """Exponential, with full jitter on its upper half so that a herd spreads out."""
    ceiling = min(_RETRY_BASE_S * 2.0 ** (attempt - 1), _RETRY_MAX_S)
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - not for secrets


# ---------------------------------------------------------------------------- cancel


def cancel(connection: Connection, job_id: int, by: str) -> Job:
    """Cancel a job: at once where nobody runs it, else by a flag that its worker sees.

    Returns the job as it is afterwards; a finished job is left as it is.

    Raises:
        UnknownJobError: there is no such job.
    """
    row = connection.execute(
        select(t.jobs, (t.jobs.c.lease_until < now()).label("expired"))
        .where(t.jobs.c.id == job_id)
        .with_for_update()
    ).one_or_none()
    if row is None:
        raise UnknownJobError(job_id)
    job = Job.from_row(row)
    if job.finished:
        return job
    _event(connection, job_id, "cancel requested", by)
    if job.state == State.RUNNING and row.expired:
        _end_attempt(connection, job, Outcome(State.CANCELLED, reason=Reason.WORKER_LOST), by)
    elif job.state == State.RUNNING:
        connection.execute(
            update(t.jobs).where(t.jobs.c.id == job_id).values(cancel_requested=True)
        )
    else:
        connection.execute(
            update(t.jobs)
            .where(t.jobs.c.id == job_id)
            .values(state=State.CANCELLED, cancel_requested=True, finished_at=now())
        )
        _event(connection, job_id, State.CANCELLED, by)
    return Job.from_row(connection.execute(select(t.jobs).where(t.jobs.c.id == job_id)).one())


# ---------------------------------------------------------------------------- upkeep


def reap(
    connection: Connection, by: str, suspects: Mapping[AttemptId, datetime] | None = None
) -> list[AttemptId]:
    """End the attempts whose lease ran out: their worker is dead or cut off.

    Args:
        by: who reaps.
        suspects: the leases to end, each with its end as it was seen; one that was renewed since
            is left alone. By default all that have run out by the database's clock.

    Returns:
        the leases that were ended.
    """
    if suspects is not None and not suspects:
        return []
    condition = (
        t.jobs.c.lease_until < now()
        if suspects is None
        else t.jobs.c.id.in_([attempt.job_id for attempt in suspects])
    )
    rows = connection.execute(
        select(t.jobs)
        .where(t.in_state(State.RUNNING), condition)
        .order_by(t.jobs.c.id)
        .with_for_update(skip_locked=True)
    ).all()
    ended = []
    for row in rows:
        job = Job.from_row(row)
        if suspects is not None and suspects.get(job.attempt_id) != job.lease_until:
            continue
        ended.append(job.attempt_id)
        error = f"worker {job.lease_owner} fell silent during attempt {job.attempt}"
        if job.cancel_requested:
            outcome = Outcome(State.CANCELLED, reason=Reason.WORKER_LOST)
        else:
            outcome = Outcome(State.FAILED, reason=Reason.WORKER_LOST, error=error, retry=True)
        _end_attempt(connection, job, outcome, by)
    return ended


def promote(connection: Connection, by: str) -> int:
    """Queue the waiting jobs whose time has come and whose parents have succeeded.

    Children of a failed or cancelled job fail with reason `dependency-failed`. Returns how many
    jobs became `queued`.
    """
    parent = t.jobs.alias("parent")
    parents = t.dependencies.join(parent, parent.c.id == t.dependencies.c.parent_id)

    def has_parent(condition: ColumnElement[bool]) -> ColumnElement[bool]:
        return exists(
            select(1).select_from(parents).where(t.dependencies.c.job_id == t.jobs.c.id, condition)
        )

    while failed := connection.scalars(
        update(t.jobs)
        .where(
            t.in_state(State.WAITING),
            has_parent(parent.c.state.in_((State.FAILED, State.CANCELLED))),
        )
        .values(
            state=State.FAILED,
            reason="dependency-failed",
            error="a job that this one waited for did not succeed",
            finished_at=now(),
        )
        .returning(t.jobs.c.id)
    ).all():
        for job_id in failed:
            _event(connection, job_id, "failed (dependency-failed)", by)
    ready = connection.execute(
        select(
            t.jobs.c.id,
            t.jobs.c.queue,
            t.jobs.c.priority,
            t.jobs.c.user,
            t.jobs.c.attempt,
            t.jobs.c.fair_rank,
        )
        .where(
            t.in_state(State.WAITING),
            or_(
                t.jobs.c.not_before.is_(None),
                t.jobs.c.not_before <= now(),
                # Longer than any back-off: the clock was set back after the attempt.
                and_(t.jobs.c.attempt > 0, t.jobs.c.not_before > now(_RETRY_MAX_S)),
            ),
            ~has_parent(parent.c.state != State.SUCCEEDED),
        )
        .order_by(t.jobs.c.id)
        .with_for_update(of=t.jobs, skip_locked=True)
    ).all()
    if ready:
        connection.execute(
            update(t.jobs)
            .where(t.jobs.c.id == bindparam("ready"))
            .values(state=State.QUEUED, queued_at=now(), fair_rank=bindparam("rank")),
            joining_ranks(connection, ready),
        )
    for row in ready:
        _event(connection, row.id, State.QUEUED, by)
    return len(ready)


# ---------------------------------------------------------------------------- workers


def worker_started(connection: Connection, **columns: Any) -> None:
    """Enter a worker; `columns` are those of the table `workers` but times and state."""
    fitted = _fit(t.workers, **columns)
    connection.execute(
        insert(t.workers).values(**fitted, started_at=now(), seen_at=now(), state="up")
    )


def worker_seen(connection: Connection, worker: str, state: str) -> str | None:
    """Note that a worker is alive, and whether it is `up` or `draining`.

    Returns:
        how somebody wants it to leave (see `ask_to_drain`), or None.
    """
    rows = connection.execute(
        update(t.workers)
        .where(t.workers.c.id == worker)
        .values(seen_at=now(), state=state)
        .returning(t.workers.c.drain)
    ).all()
    how: str | None = rows[0].drain if rows else None
    return how


def ask_to_drain(connection: Connection, worker: str, how: str) -> None:
    """Ask a worker to leave: to `stop` its jobs, or to `finish` them first."""
    connection.execute(update(t.workers).where(t.workers.c.id == worker).values(drain=how))


def worker_left(connection: Connection, worker: str) -> None:
    """Note that a worker has stopped in good order."""
    worker_seen(connection, worker, "gone")


def _event(connection: Connection, job_id: int, what: str, by: str) -> None:
    text = _fit(t.events, what=what, by=by)
    connection.execute(insert(t.events).values(job_id=job_id, time=now(), **text))


def storable(value: Any) -> Any:
    """The value as every database takes it, also deep inside lists and dictionaries.

    Postgres refuses NUL characters, no database takes half of a surrogate pair (as in the name of
    a file that is not UTF-8), and JSON knows neither NaN nor infinity: these become None.
    """
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    return [storable(item) for item in value] if isinstance(value, list | tuple) else value


def _fit(table: Table, **values: Any) -> dict[str, Any]:
    """What a job or worker says of itself: storable, and cut to the columns' lengths.

    Postgres refuses what is longer, and the attempt that said it would never end.

    Raises:
        UsageError: a whole number is larger than the column; the message names both.
    """
    fitted = {}
    for name, value in values.items():
        column = table.c[name].type
        clean = storable(value)
        if isinstance(column, Integer) and isinstance(clean, int):
            bits = 64 if isinstance(column, BigInteger) else 32
            if not -(2 ** (bits - 1)) <= clean < 2 ** (bits - 1):
                raise UsageError(
                    f"the {name} is a number of {clean.bit_length() + 1} bits, "
                    f"and the database holds {bits} of them"
                )
        length = getattr(column, "length", None)
        fitted[name] = clean[:length] if isinstance(clean, str) else clean
    return fitted


def plain(text: str) -> str:
    """The text in characters that every database can hold, whatever its encoding."""
    return text.encode("ascii", "backslashreplace").decode()
