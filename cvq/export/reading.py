"""Jobs with all that is exported of them, one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .. import queries
from ..db import Database
from ..records import Artifact, Attempt, Job, StoredPoint

_AT_ONCE = 100


@dataclass(frozen=True)
class Exported:
    """A job, the files that it has left, its attempts, and the curve of each metric."""

    job: Job
    artifacts: list[Artifact]
    attempts: list[Attempt]
    curves: dict[str, list[StoredPoint]]


def each(database: Database, ids: Sequence[int]) -> Iterator[Exported]:
    """Jobs in the order of some ids; those that there are no more are left out."""
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        with database.read() as connection:
            jobs = {job.id: job for job in queries.get_jobs(connection, some)}
            files = queries.artifacts_of(connection, list(jobs))
        for number in some:
            if number in jobs:
                with database.read() as connection:
                    attempts = queries.attempts_of(connection, number)
                    curves = queries.merged_points(connection, number)
                yield Exported(jobs[number], files[number], attempts, curves)
