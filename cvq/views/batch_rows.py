"""What came out of a batch: a row for each item, in the order in which they were given.

A row has `name`, `job` and `state`, then what the kind answers, `notes` where there are any, and
`error` last, None where there is none. A name of the kind's own that is `job` or `state` gets a
`_` behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .. import queries
from ..artifacts import ArtifactStore
from ..db import Database
from ..errors import MissingExtraError
from ..inputs import shards
from ..records import Job
from ..states import State

OURS = ("name", "job", "state", "error")
TABLE = "rows.parquet"  # what a job with a shard leaves
_APART = ("name", "notes", "warnings", "error")  # of a row of a job of few items
_CHUNK = 500  # jobs that are read at a time


def rows_of_batch(
    database: Database, artifacts: ArtifactStore, batch_id: int
) -> Iterator[dict[str, Any]]:
    """The rows of a batch; few are in memory at a time.

    Pictures that a kind draws are not among them: they are in the files of its jobs.

    Raises:
        StoreError: what a job has left is not in the store, or damaged.
        MissingExtraError: it is a table, and pyarrow is not installed.
    """
    with database.read() as connection:
        ids = queries.ids_of_batch(connection, batch_id)
    with TemporaryDirectory(prefix="cvq-rows-") as scratch:
        for start in range(0, len(ids), _CHUNK):
            some = ids[start : start + _CHUNK]
            with database.read() as connection:
                jobs = queries.get_jobs(connection, some)
                files = queries.artifacts_of(connection, [job.id for job in jobs if _shard(job)])
            for job in jobs:
                if (shard := _shard(job)) is None:
                    yield from _rows_of_job(job)
                    continue
                table = next((file for file in files[job.id] if file.name == TABLE), None)
                # One that failed with all its rows has left them, each with its own reason.
                if job.state in (State.SUCCEEDED, State.FAILED) and table is not None:
                    yield from _rows_of_table(job, artifacts.fetch_readable(table, Path(scratch)))
                else:
                    yield from _rows_of_shard(job, artifacts.fetch_input(shard, Path(scratch)))


def _shard(job: Job) -> str | None:
    """The SHA-256 of the shard that a job answers; None of one that has none."""
    given = (one for value in job.spec.values() if isinstance(value, list) for one in value)
    for one in given:
        if isinstance(one, dict) and str(one.get("name")).lower().endswith(shards.ENDING):
            return one.get("sha256")
    return None


def _rows_of_table(job: Job, path: Path) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow.parquet as parquet
        from pyarrow.types import is_binary
    except ModuleNotFoundError:
        raise MissingExtraError("parquet", "a table of results") from None
    with parquet.ParquetFile(path) as file:
        names = [one.name for one in file.schema_arrow if not is_binary(one.type)]
        for batch in file.iter_batches(batch_size=_CHUNK, columns=names):
            for row in batch.to_pylist():
                answer = {name: row[name] for name in names if name not in ("name", "error")}
                yield _row(job, row["name"], answer, row["error"])


def _rows_of_shard(job: Job, path: Path) -> Iterator[dict[str, Any]]:
    """A row for each item of a job that has no answers, or none yet."""
    for member in shards.members(path):
        problem = member.problem if job.state == State.FAILED else None
        yield _row(job, member.name, {}, f"{member.name} {problem}" if problem else job.error)


def _rows_of_job(job: Job) -> Iterator[dict[str, Any]]:
    result = job.result if isinstance(job.result, dict) else {}
    rows = result.get("rows")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        rows = [{**result, "notes": result.get("warnings"), "error": job.error}]
    for row in rows:
        answer = {name: value for name, value in row.items() if name not in _APART}
        if notes := row.get("notes"):
            answer["notes"] = "; ".join(notes) if isinstance(notes, list) else notes
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
