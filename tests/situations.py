"""What can become of a job, step by step, for tests of how it is explained."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Table, update

from cvq import queries
from cvq import tables as t
from cvq.db import Database
from cvq.explain.explanation import Explanation, explain
from cvq.ids import AttemptId
from cvq.lifecycle import attempts, claims, jobs, workers
from cvq.records import Artifact, LogLine, NewJob, Outcome
from cvq.states import Role, State
from cvq.tables import now

HOUR = 3600


def submit(database: Database, **values: Any) -> int:
    values = {"kind": "selftest", "user": "ann", "spec": {}} | values
    with database.write() as connection:
        return jobs.submit(connection, NewJob(spec_hash="0", **values))


def arrive(database: Database, name: str = "lab.1", **columns: Any) -> None:
    entry = {"host": "lab", "pid": 1, "devices": ["cpu"], "queues": ["default"], "slots": 1}
    with database.write() as connection:
        workers.register(connection, id=name, **{"lease": 600.0, **entry, **columns})


def start(
    database: Database, worker: str = "lab.1", device: str | None = "cpu", lease: float = 600.0
) -> AttemptId:
    with database.write() as connection:
        job = claims.claim(
            connection,
            worker=worker,
            host="lab",
            queues=["default", "gpu"],
            token=uuid.uuid4().hex,
            lease=lease,
            device=device,
        )
    assert job is not None
    return job.attempt_id


def end(
    database: Database, attempt: AttemptId, state: str = State.SUCCEEDED, **outcome: Any
) -> None:
    with database.write() as connection:
        attempts.finish(connection, attempt, Outcome(state, **outcome), "lab.1")


def crash(
    database: Database, attempt: AttemptId, reason: str = "signal:SEGV", **more: Any
) -> None:
    end(
        database,
        attempt,
        State.FAILED,
        reason=reason,
        **{"retry": True, "error": "it died", **more},
    )


def failed(database: Database, reason: str, *, error: str | None = "it died", **more: Any) -> int:
    """A job that failed at its first attempt and was not tried again."""
    job_id = submit(database, **{"max_attempts": 1, **more})
    crash(database, start(database), reason, error=error)
    return job_id


def report(database: Database, attempt: AttemptId, **what: Any) -> None:
    with database.write() as connection:
        attempts.report(connection, attempt, **what)


def checkpoint(database: Database, attempt: AttemptId, step: int) -> None:
    name = f"checkpoint-{step:08}.safetensors"
    saved = Artifact(name, Role.CHECKPOINT, "x", f"file:///{name}", "0" * 64, 5)
    report(database, attempt, artifacts=[saved])


def change(database: Database, table: Table, **values: Any) -> None:
    """Change every row of a table."""
    with database.write() as connection:
        connection.execute(update(table).values(**values))


def promote(database: Database) -> None:
    change(database, t.jobs, not_before=None)
    with database.write() as connection:
        jobs.promote(connection, "lab.1")


def why(database: Database, job_id: int, **more: Any) -> Explanation:
    with database.read() as connection:
        return explain(connection, queries.get_job(connection, job_id), **more)


def said(database: Database, job_id: int) -> str:
    return why(database, job_id).why


def running(database: Database, **values: Any) -> int:
    """A job that has been running for an hour on a worker that is up."""
    job_id = submit(database, **values)
    arrive(database)
    attempt = start(database)
    line = LogLine(1, datetime.now(UTC), "stdout", "hello")
    report(database, attempt, logs=[line])
    change(database, t.jobs, started_at=now(-HOUR))
    return job_id
