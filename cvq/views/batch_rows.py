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
from ..states import State

OURS = ("name", "job", "state", "error")
_CHUNK = 500  # jobs that are read at a time


def rows_of_batch(database: Database, batch_id: int) -> Iterator[dict[str, Any]]:
    """The rows of a batch; few are in memory at a time."""
    with database.read() as connection:
        ids = queries.ids_of_batch(connection, batch_id)
    for start in range(0, len(ids), _CHUNK):
        with database.read() as connection:
            jobs = queries.get_jobs(connection, ids[start : start + _CHUNK])
        for job in jobs:
            yield from _rows_of_job(job)


def _rows_of_job(job: Job) -> Iterator[dict[str, Any]]:
    result = job.result if isinstance(job.result, dict) else {}
    rows = result.get("rows")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        yield _row(job, job.name, result, job.error)
        return
    for row in rows:
        answer = {name: value for name, value in row.items() if name not in ("name", "error")}
        # A job of one item is named after it, with the folder that it lies in.
        name = job.name if len(rows) == 1 else row.get("name")
        yield _row(job, name, answer, row.get("error"))


def _row(
    job: Job, name: str | None, answer: Mapping[str, Any], error: str | None
) -> dict[str, Any]:
    own = {f"{key}_" if key in OURS else key: value for key, value in answer.items()}
    failed = error is not None and job.state == State.SUCCEEDED  # of several items, this one
    state = State.FAILED if failed else job.state
    return {"name": name, "job": job.id, "state": str(state), **own, "error": error}
