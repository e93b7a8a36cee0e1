"""What the indexes cost: a job submitted, claimed and finished, with them and without."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from benchmarks.history.commands import Row
from benchmarks.history.places import Place, empty, median
from cvq import tables as t
from cvq.db import Database
from cvq.lifecycle import attempts, claims, jobs
from cvq.records import Job, MetricPoint, NewJob, Outcome

# What a queue needs to run at all; all others are there to be asked.
NEEDED = (
    "ix_jobs_queued", "ix_jobs_needs", "ix_jobs_batch_key", "ix_jobs_unfinished", "ix_jobs_lease",
    "ix_jobs_waiting", "ix_jobs_claim_token", "ix_jobs_batch_state", "ix_dependencies_parent_id",
)  # fmt: skip
_SPEC = {
    "epochs": 5, "learning_rate": 0.1, "batch_size": 128, "optimizer": "adamw", "seed": 1,
    "schedule": "cosine", "width": 64,
}  # fmt: skip


def measured(folder: Path, like: Place, repeat: int) -> Iterator[Row]:
    """Each step of a job's life with all indexes, to the same without those for questions.

    Args:
        folder: for two empty places.
        like: on the same sort of database as this one.
        repeat: how many jobs.
    """
    with (
        empty(folder / "with", like) as place, place.database() as database,
        empty(folder / "without", like) as bare, bare.database() as other,
    ):  # fmt: skip
        with other.write() as connection:
            _drop(connection)
        times = {id(each): _Times() for each in (database, other)}
        for _ in range(repeat):
            for each in (database, other):  # in turns
                _live(each, times[id(each)])
    for step in _Times.steps:
        ours, theirs = (median(getattr(times[id(each)], step)) for each in (database, other))
        yield Row(f"{step} of a job, to that without the indexes", ours / theirs, 1.15)


class _Times:
    steps = ("submit", "claim", "finish")

    def __init__(self) -> None:
        self.submit: list[float] = []
        self.claim: list[float] = []
        self.finish: list[float] = []


def _drop(connection: Connection) -> None:
    for table in t.metadata.tables.values():
        for index in table.indexes:
            if index.name not in NEEDED:
                index.drop(connection)


def _live(database: Database, times: _Times) -> None:
    """A job's life, each step in a transaction of its own."""
    new = NewJob(
        kind="selftest", spec=_SPEC, spec_hash="0" * 64, user="ann", queue="measured",
        tags={"project": "a"}, name="figure",
    )  # fmt: skip
    _timed(times.submit, database, lambda connection: jobs.submit(connection, new))
    job: Job = _timed(times.claim, database, _claim)
    at = datetime.now(UTC)
    points = [MetricPoint("loss", step, 1 / (1 + step), at) for step in range(5)]
    with database.write() as connection:
        attempts.report(connection, job.attempt_id, metrics=points)
    outcome = Outcome("succeeded", result={"loss": 0.1, "accuracy": 0.9, "class": "boot"})
    _timed(
        times.finish,
        database,
        lambda connection: attempts.finish(connection, job.attempt_id, outcome, "worker"),
    )


def _claim(connection: Connection) -> Job | None:
    return claims.claim(
        connection, worker="worker", host="here", queues=["measured"], token=uuid.uuid4().hex,
        lease=600.0,
    )  # fmt: skip


def _timed(times: list[float], database: Database, act: Callable[[Connection], Any]) -> Any:
    began = time.perf_counter()
    with database.write() as connection:
        found = act(connection)
    times.append(time.perf_counter() - began)
    return found
