"""Why a job waits, runs long or failed, and what to do: read from the database, in sentences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from .. import queries
from ..lifecycle.retrying import why_not
from ..records import Job
from ..states import Reason, State
from . import ended, queued, running, waiting
from .diagnosis import Diagnosis, Snapshot


@dataclass(frozen=True)
class Explanation:
    """Why a job is as it is, in a few sentences; and what to do, each in a line."""

    job_id: int
    state: str
    why: str
    advice: tuple[str, ...]


def explain(connection: Connection, job: Job, *, redis: str | None = None) -> Explanation:
    """Explain a job.

    Args:
        connection: reads only.
        job: as it was read in this connection.
        redis: what is wrong with Redis, where the caller has asked.
    """
    diagnose = _BY_STATE.get(job.state, _unknown_state)
    now = queries.database_time(connection)
    sentences, advice = diagnose(Snapshot(connection, job, now, redis))
    advice = [*advice, *_retry(job)]
    if job.damage:
        damage = "; ".join(job.damage.values())
        sentences = [*sentences, f"Its row in the database is damaged: {damage}."]
    return Explanation(job.id, job.state, " ".join(sentences), tuple(advice))


# Reasons that are not the job's own: tried again, it would end so again.
_OF_OTHERS = (Reason.DEPENDENCY_FAILED, Reason.PRUNED)


def _retry(job: Job) -> list[str]:
    """How a job is tried again, where it can be."""
    if why_not(job) is not None or job.reason in _OF_OTHERS:
        return []
    tried = f"`cvq retry {job.id}` tries it again"
    if job.batch is None:
        return [f"{tried}."]
    have = "have failed" if job.state == State.FAILED else "were cancelled"
    return [
        f"{tried}, `cvq retry --batch {job.batch} --{job.state}` all of its batch that {have}."
    ]


def _unknown_state(snapshot: Snapshot) -> Diagnosis:
    job = snapshot.job
    said = f"It is in the state '{job.state}', which cvq does not know: no worker takes it."
    return Diagnosis([said], [f"`cvq cancel {job.id}` ends it."])


_BY_STATE: dict[str, Callable[[Snapshot], Diagnosis]] = {
    State.WAITING: waiting.diagnose,
    State.QUEUED: queued.diagnose,
    State.RUNNING: running.diagnose,
    State.SUCCEEDED: ended.diagnose_success,
    State.FAILED: ended.diagnose_failure,
    State.CANCELLED: ended.diagnose_cancellation,
}
