"""The errors of attempts that cvq itself has ended, written and recognised in one place.

The database keeps an ending as a reason and a sentence. What the reason alone does not tell (which
of two time limits it was, or that a worker fell silent) is in the sentence.

These sentences are stored data: rows of every earlier version hold them, so they are never
reworded.
"""

from __future__ import annotations

from ..records import Attempt, Job
from ..states import Reason


def timeout(limit: float, *, soft: bool) -> str:
    """The error of an attempt that has reached a time limit, in seconds."""
    return f"the {'soft ' if soft else ''}time limit of {limit:g} s was reached"


def is_soft_timeout(job: Job, attempt: Attempt) -> bool:
    """Whether an attempt ended at the job's soft time limit."""
    limit = job.soft_time_limit
    return (
        attempt.reason == Reason.TIMEOUT
        and limit is not None
        and attempt.error == timeout(limit, soft=True)
    )


def silence(worker: str | None, number: int) -> str:
    """The error of an attempt whose worker let its lease run out."""
    return f"worker {worker} fell silent during attempt {number}"


def is_silence(attempt: Attempt) -> bool:
    """Whether an attempt was ended because its worker let the lease run out."""
    return attempt.error == silence(attempt.worker, attempt.number)
