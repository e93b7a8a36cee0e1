"""An attempt from its first report to its end: by its worker, or by others once that is silent.

Each function is fenced: it is refused once the attempt is not the running one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    Row,
    insert,
    select,
    update,
)

from .. import attributes, summaries
from .. import tables as t
from ..damage import read_row
from ..db import as_json
from ..errors import UsageError
from ..given import Given, among
from ..goals import Goal
from ..ids import AttemptId
from ..records import Artifact, EncodedJson, Job, LogLine, MetricPoint, Outcome
from ..row_names import FAILED
from ..states import Reason, State
from ..tables import now
from .cancelling import stop_failing
from .closing import drop_checkpoints, end, is_attempt, outcome_word
from .endings import silence
from .events import add_attempt_events
from .leases import fence, lock
from .values import fit, send_ahead, storable

_SMALL = 1 << 16  # characters of a result


def report(
    connection: Connection,
    attempt: AttemptId,
    *,
    number: int | None = None,
    pid: int | None = None,
    memory: int | None = None,
    progress: dict[str, Any] | None = None,
    logs: Sequence[LogLine] = (),
    metrics: Sequence[MetricPoint] = (),
    artifacts: Sequence[Artifact] = (),
) -> None:
    """Write what an attempt has produced since the last report.

    `number` counts an attempt's reports and makes them idempotent: a report whose answer was lost
    after the commit is sent again, and not written twice. `memory` is the most that its process
    was seen to hold so far, in bytes.

    Raises:
        LeaseLostError: the attempt is no longer the running one; nothing was written.
    """
    job = fence(connection, attempt)
    if number is not None:
        fresh = connection.execute(
            update(t.attempts)
            .where(is_attempt(*attempt), t.attempts.c.reports < number)
            .values(reports=number)
        )
        if not fresh.rowcount:
            return
    owner = {"job_id": attempt.job_id, "attempt": attempt.attempt}
    points = [fit(t.metrics, **point._asdict()) for point in metrics]
    process = {"pid": pid, "peak_memory": memory}
    known = {name: value for name, value in process.items() if value is not None}
    if known:
        connection.execute(update(t.attempts).where(is_attempt(*attempt)).values(**known))
    if logs:
        connection.execute(
            insert(t.logs), [owner | fit(t.logs, **line._asdict()) for line in logs]
        )
    if points:
        connection.execute(insert(t.metrics), [owner | point for point in points])
        summaries.add_points(connection, job, points)
    for artifact in artifacts:
        described = fit(t.artifacts, **asdict(artifact))
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
    result = send_ahead(connection, outcome.result)
    job = fence(connection, attempt)
    state = end(connection, job, outcome, by, result)
    if job.batch and _has_failures(state, outcome):
        stop_failing(connection, [job.batch])
    return state


def _has_failures(state: str, outcome: Outcome) -> bool:
    """Whether a job has failed, or items of it may have, and will not be tried again."""
    if state == State.SUCCEEDED:
        return summaries.numbers_of(outcome.result).get(FAILED, 0) > 0
    return state == State.FAILED


def finish_batch(
    connection: Connection,
    ended: Mapping[AttemptId, Outcome],
    by: str,
    *,
    again: bool = False,
) -> dict[AttemptId, str]:
    """End many attempts in one go, as `finish` does each; return the new states of their jobs.

    An attempt that is no longer the running one is left out, and nothing of it is written.
    """
    states: dict[AttemptId, str] = {}
    if again:
        found = {id_: _ended_as(connection, id_, outcome) for id_, outcome in ended.items()}
        states = {id_: state for id_, state in found.items() if state}
    left = {attempt: ended[attempt] for attempt in ended if attempt not in states}
    held = {AttemptId(row.id, row.attempt): row for row in lock(connection, left, *_OF_SUCCESS)}
    done = [id_ for id_ in held if _succeeds_alike(left[id_])]
    _succeed(connection, [(_Succeeded.of(held[id_]), left[id_].result) for id_ in done], by)
    states |= dict.fromkeys(done, State.SUCCEEDED)
    for id_ in [id_ for id_ in held if id_ not in states]:
        states[id_] = end(connection, fence(connection, id_), left[id_], by, left[id_].result)
    failed = [
        row.batch
        for id_, row in held.items()
        if row.batch and _has_failures(states[id_], left[id_])
    ]
    stop_failing(connection, failed)
    return states


def _succeeds_alike(outcome: Outcome) -> bool:
    """Whether an attempt may end in one statement with others: its result is small."""
    size = len(outcome.result.text) if isinstance(outcome.result, EncodedJson) else 0
    return outcome.state == State.SUCCEEDED and size <= _SMALL


class _Succeeded(NamedTuple):
    """What is needed of a job to end it well; its whole row takes longer to read than all else."""

    id: int
    attempt: int
    metrics: dict[str, float | None]
    goals: dict[str, Goal] | None

    @classmethod
    def of(cls, row: Row[Any]) -> _Succeeded:
        return cls(**read_row(row, cls._fields)[0])


_OF_SUCCESS = [t.jobs.c[name] for name in (*_Succeeded._fields, "batch")]


def _succeed(connection: Connection, ended: Sequence[tuple[_Succeeded, Any]], by: str) -> None:
    """What `end` does of one job that has succeeded, for many in as many statements."""
    if not ended:
        return
    at = connection.scalar(select(now()))
    numbers = [(job, storable(summaries.numbers_of(result))) for job, result in ended]
    kept = summaries.add_results(connection, numbers)
    words = ((job.id, storable(attributes.words_of(result))) for job, result in ended)
    attributes.add_words(connection, words)
    given = Given(
        connection,
        [
            {
                "id": job.id,
                "attempt": job.attempt,
                "result": _stored(result),
                "metrics": as_json(job.metrics | kept[job.id]),
            }
            for job, result in ended
        ],
    )
    jobs, a = t.jobs.c, t.attempts.c
    job_id = given.cell("id", jobs.id.type)
    connection.execute(
        update(t.jobs)
        .where(jobs.id == job_id)
        .values(
            state=State.SUCCEEDED, reason=None, error=None, lease_owner=None, lease_until=None,
            claim_token=None, finished_at=at, result=given.cell("result", jobs.result.type),
            metrics=given.cell("metrics", jobs.metrics.type),
        )
    )  # fmt: skip
    connection.execute(
        update(t.attempts)
        .where(a.job_id == job_id, a.number == given.cell("attempt", a.number.type))
        .values(finished_at=at, outcome=State.SUCCEEDED, last_lines=[])
    )
    ids = [job.id for job, _ in ended]
    add_attempt_events(connection, among(jobs.id, ids), State.SUCCEEDED, by)
    drop_checkpoints(connection, ids)


def _stored(result: Any) -> str | None:
    """A result as the text that is stored.

    Raises:
        UsageError: it is no JSON.
    """
    try:
        return None if result is None else as_json(storable(result))
    except (TypeError, ValueError) as error:
        raise UsageError(f"a result cannot be stored: {error}") from error


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
        else among(t.jobs.c.id, (attempt.job_id for attempt in suspects))
    )
    rows = connection.execute(
        select(t.jobs)
        .where(t.in_state(State.RUNNING), condition)
        .order_by(t.jobs.c.id)
        .with_for_update(skip_locked=True)
    ).all()
    ended = []
    failed = []
    for row in rows:
        job = Job.from_row(row)
        if suspects is not None and suspects.get(job.attempt_id) != job.lease_until:
            continue
        ended.append(job.attempt_id)
        error = silence(job.lease_owner, job.attempt)
        if job.cancel_requested:
            outcome = Outcome(State.CANCELLED, reason=Reason.WORKER_LOST)
        else:
            outcome = Outcome(State.FAILED, reason=Reason.WORKER_LOST, error=error, retry=True)
        if end(connection, job, outcome, by) == State.FAILED:
            failed.append(job.batch)
    stop_failing(connection, failed)
    return ended


def _ended_as(connection: Connection, attempt: AttemptId, outcome: Outcome) -> str | None:
    """The state of a job whose attempt has ended in just this way already; else None."""
    state: str | None = connection.scalar(
        select(t.jobs.c.state)
        .join(t.attempts, t.attempts.c.job_id == t.jobs.c.id)
        .where(
            is_attempt(*attempt),
            t.attempts.c.finished_at.is_not(None),
            t.attempts.c.outcome == outcome_word(outcome),
        )
    )
    return state
