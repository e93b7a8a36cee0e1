"""The steps of a job's life, each in a transaction of its own, as tests take them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import select

from cvq import Client, Settings, queries
from cvq import tables as t
from cvq.batch_handle import BatchHandle
from cvq.db import Database
from cvq.ids import AttemptId
from cvq.lifecycle import attempts, claims, jobs, workers
from cvq.matching import Offer
from cvq.records import Job, NewJob, Outcome, Worker
from cvq.states import State
from waiting import eventually

QUEUE = "default"
DONE = Outcome(State.SUCCEEDED, result={})
KINDS: dict[str, Any] = {"kinds": {"selftest": {"fields": ["seed"], "missing": []}}, "broken": {}}


@contextmanager
def opened(**settings: Any) -> Iterator[Database]:
    database = Database(Settings.load(**settings))
    try:
        yield database
    finally:
        database.engine.dispose()


def new(user: str = "ann", **values: Any) -> NewJob:
    return NewJob(kind="selftest", spec={"seed": 7}, spec_hash="0" * 64, user=user, **values)


def submit(database: Database, *wanted: NewJob) -> list[int]:
    with database.write() as connection:
        return [jobs.submit(connection, job) for job in wanted]


def claim(
    database: Database,
    *,
    token: str | None = None,
    lease: float = 60.0,
    queues: tuple[str, ...] = (QUEUE,),
    worker: str = "w",
    offer: Offer | None = None,
) -> Job | None:
    with database.write() as connection:
        return claims.claim(
            connection,
            worker=worker,
            host="h",
            queues=queues,
            token=token or uuid.uuid4().hex,
            lease=lease,
            offer=offer,
        )


def claimed(database: Database, **values: Any) -> Job:
    job = claim(database, **values)
    assert job is not None
    return job


def finish(database: Database, attempt: AttemptId, outcome: Outcome) -> str:
    with database.write() as connection:
        return attempts.finish(connection, attempt, outcome, "w")


def registered(database: Database, name: str = "w", **columns: Any) -> Worker:
    """A worker as the database has it once it has registered."""
    entry = {"host": "h", "pid": 1, "devices": ["cpu"], "queues": [QUEUE], "slots": 1}
    with database.write() as connection:
        workers.register(connection, id=name, **{"lease": 60.0, **entry, **columns})
        return next(each for each in queries.workers(connection) if each.id == name)


def get(database: Database, job_id: int) -> Job:
    with database.read() as connection:
        return queries.get_job(connection, job_id)


def take_all(database: Database, limit: int = 1000) -> list[int]:
    """The ids in the order in which one slot takes and ends them."""
    ids: list[int] = []
    while len(ids) < limit and (job := claim(database)) is not None:
        finish(database, job.attempt_id, DONE)
        ids.append(job.id)
    return ids


def reap_and_promote(database: Database) -> None:
    with database.write() as connection:
        attempts.reap(connection, "reaper")
        jobs.promote(connection, "reaper")


def ended(client: Client, batch: BatchHandle) -> list[Job]:
    """The jobs of a batch, once all have ended."""

    def look() -> list[Job] | None:
        with client.db.read() as connection:
            query = select(t.jobs).where(t.jobs.c.batch == batch.id).order_by(t.jobs.c.id)
            found = [Job.from_row(row) for row in connection.execute(query)]
        return found if all(job.finished for job in found) else None

    return eventually(look)
