"""The end of an attempt, written into the rows of the attempt and of its job."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, select, update

from .. import attributes, summaries
from .. import tables as t
from ..given import among
from ..ids import AttemptId
from ..records import Job, Outcome
from ..states import FINAL, Reason, Role, State
from ..tables import now
from .events import add_event
from .order import returning_rank
from .retries import next_try
from .values import fit, storable

_LAST_LINES = 10


def end(connection: Connection, job: Job, outcome: Outcome, by: str, result: Any = None) -> str:
    """End an attempt whose job is locked; return the job's new state.

    Of those that have failed, the caller tells their batches: see `cancelling.stop_failing`.

    Args:
        connection: the transaction.
        job: as it is in the attempt.
        outcome: of the attempt.
        by: who ends it.
        result: what to store of the outcome's.
    """
    state, reason = _state_after(job, outcome)
    # Read once, or job and attempt would differ in what they took.
    at = connection.scalar(select(now()))
    ended = fit(t.jobs, reason=reason, error=outcome.error, result=result)
    changes = _changes_after(connection, job, outcome, state)
    if state in FINAL:
        changes["finished_at"] = at
    connection.execute(
        update(t.jobs).where(t.jobs.c.id == job.id).values(state=state, **ended, **changes)
    )
    _close(connection, job.attempt_id, outcome, at)
    what = f"attempt {job.attempt} {outcome_word(outcome)}"
    add_event(connection, job.id, _with_reason(what, outcome.reason), by)
    if state == State.SUCCEEDED:
        drop_checkpoints(connection, [job.id])
    if state != outcome.state or state == State.QUEUED:
        add_event(connection, job.id, _with_reason(state, reason), by)
    return state


def _state_after(job: Job, outcome: Outcome) -> tuple[str, str | None]:
    """The state that a job gets when its attempt has ended so, and the reason."""
    state, reason = outcome.state, outcome.reason
    if state == State.FAILED and outcome.retry:
        if job.attempt < job.max_attempts:
            state = State.WAITING
        elif job.max_attempts > 1:
            reason = Reason.ATTEMPTS_EXHAUSTED
    if job.cancel_requested and state not in FINAL:
        state = State.CANCELLED
    if state == State.CANCELLED and job.reason == Reason.PRUNED:
        reason = Reason.PRUNED
    return state, reason


def _changes_after(
    connection: Connection, job: Job, outcome: Outcome, state: str
) -> dict[str, Any]:
    """What else changes in a job whose attempt has ended, by the state that it gets."""
    changes: dict[str, Any] = {"lease_owner": None, "lease_until": None, "claim_token": None}
    if outcome.state == State.QUEUED:  # through no fault of its own: the attempt does not count
        changes["max_attempts"] = job.max_attempts + 1
    if state == State.WAITING:
        changes["not_before"] = next_try(connection, job, outcome)
    if state == State.QUEUED:
        changes["queued_at"] = now()
        changes["fair_rank"] = returning_rank(connection, job.queue, job.priority)
    if state == State.SUCCEEDED:
        numbers = storable(summaries.numbers_of(outcome.result))
        changes["metrics"] = job.metrics | summaries.add_result(connection, job, numbers)
        words = storable(attributes.words_of(outcome.result))
        attributes.add_words(connection, [(job.id, words)])
    return changes


def _close(
    connection: Connection, attempt: AttemptId, outcome: Outcome, at: datetime | None
) -> None:
    """Write into an attempt's own row how it ended."""
    said = fit(t.attempts, reason=outcome.reason, error=outcome.error, traceback=outcome.traceback)
    connection.execute(
        update(t.attempts)
        .where(is_attempt(*attempt))
        .values(
            finished_at=at,
            outcome=outcome_word(outcome),
            # Of one whose worker has fallen silent, what was seen of it stays.
            peak_memory=func.coalesce(outcome.peak_memory, t.attempts.c.peak_memory),
            last_lines=_last_lines(connection, attempt),
            **said,
        )
    )


def _last_lines(connection: Connection, attempt: AttemptId) -> list[str]:
    """An attempt's last words, kept beside its cause of death."""
    lines = connection.scalars(
        select(t.logs.c.text)
        .where(t.logs.c.job_id == attempt.job_id, t.logs.c.attempt == attempt.attempt)
        .order_by(t.logs.c.id.desc())
        .limit(_LAST_LINES)
    ).all()
    return list(reversed(lines))


def drop_checkpoints(connection: Connection, job_ids: Sequence[int]) -> None:
    """Those of jobs that have succeeded have served; the caller removes the files."""
    connection.execute(
        delete(t.artifacts).where(
            among(t.artifacts.c.job_id, job_ids), t.artifacts.c.role == Role.CHECKPOINT
        )
    )


def is_attempt(job_id: int, number: int) -> ColumnElement[bool]:
    """A condition on `attempts`: it is this one."""
    return and_(t.attempts.c.job_id == job_id, t.attempts.c.number == number)


def outcome_word(outcome: Outcome) -> str:
    """What an attempt's row says of how it ended."""
    return outcome.state if outcome.state in FINAL else "stopped"


def _with_reason(what: str, reason: str | None) -> str:
    return f"{what} ({reason})" if reason else what
