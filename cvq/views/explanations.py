"""Why jobs are as they are, each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterable

from .. import queries
from ..broker.queue import Broker
from ..db import Database
from ..errors import CvqError
from ..explain.explanation import Explanation, explain
from ..records import Job
from ..states import State


def explanations_of(
    database: Database, broker: Broker, job_ids: Iterable[int]
) -> list[tuple[Job, Explanation]]:
    """Jobs, each as it was when it was explained.

    Raises:
        UnknownJobError: there is no such job.
    """
    ids = list(job_ids)
    with database.read() as connection:
        queued = any(queries.get_job(connection, id).state == State.QUEUED for id in ids)
    redis = _redis_trouble(broker) if queued else None  # which may take seconds
    with database.read() as connection:
        jobs = [queries.get_job(connection, id) for id in ids]
        return [(job, explain(connection, job, redis=redis)) for job in jobs]


def _redis_trouble(broker: Broker) -> str | None:
    """What is wrong with Redis; the embedded one is not started by asking."""
    try:
        if broker.is_stopped():
            return "the embedded Redis is stopped"
        broker.connect()
    except CvqError as error:
        return str(error)
    return None
