"""When a failed attempt is followed by another one."""

from __future__ import annotations

import random

from sqlalchemy import Connection, func, select

from .. import tables as t
from ..records import Job, Outcome
from ..states import Reason, State
from ..tables import now

LONGEST_PAUSE_S = 300.0
_FIRST_PAUSE_S = 2.0


def next_try(connection: Connection, job: Job, outcome: Outcome) -> now | None:
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
    ceiling = min(_FIRST_PAUSE_S * 2.0 ** (attempt - 1), LONGEST_PAUSE_S)
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - not for secrets
