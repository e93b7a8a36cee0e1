"""What came out of a batch: a row for each item, in the order in which they were given.

A row has `name`, `job` and `state`, then what the kind answers, and `error` last, None where there
is none. A name of the kind's own that is one of these gets a `_` behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .. import queries
from ..db import Database
from ..records import Job

_CHUNK = 500  # jobs that are read at a time
_OURS = frozenset({"name", "job", "state", "error"})


def rows_of_batch(database: Database, batch_id: int) -> Iterator[dict[str, Any]]:
    """The rows of a batch; few are in memory at a time."""
    with database.read() as connection:
        ids = queries.ids_of_batch(connection, batch_id)
    for start in range(0, len(ids), _CHUNK):
        with database.read() as connection:
            jobs = queries.get_jobs(connection, ids[start : start + _CHUNK])
        for job in jobs:
            yield row_of(job.name, job, answer_of(job), job.error)


def row_of(
    name: str | None, job: Job, answer: Mapping[str, Any], error: str | None
) -> dict[str, Any]:
    """A row of the results."""
    own = {f"{key}_" if key in _OURS else key: value for key, value in answer.items()}
    return {"name": name, "job": job.id, "state": job.state, **own, "error": error}


def answer_of(job: Job) -> dict[str, Any]:
    """What a job of one item says of it."""
    return dict(job.result) if isinstance(job.result, dict) else {}
