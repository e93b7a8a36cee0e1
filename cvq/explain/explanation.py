"""Why a job waits, runs long or failed, and what to do: read from the database, in sentences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from .. import queries
from ..lifecycle.batches import was_refused
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


def _retry(job: Job) -> list[str]:
    """How a job of a batch is tried again, where it can be."""
    if job.batch is None or was_refused(job):
        return []
    if job.state not in (State.FAILED, State.CANCELLED) or job.reason == Reason.DEPENDENCY_FAILED:
        return []
    have = "have failed" if job.state == State.FAILED else "were cancelled"
    return [
        f"`cvq retry --job {job.id}` tries it again, `cvq retry {job.batch} --{job.state}` all of "
        f"its batch that {have}."
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
