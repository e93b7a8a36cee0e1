"""What came out of a batch: a row for each item, in the order in which they were given.

A row has `name`, `job` and `state`, then what the kind answers, `notes` where there are any, and
`error` last, None where there is none. A name of the kind's own that is `job` or `state` gets a
`_` behind it. `job` is the one that has computed the row: of an item that was known, one of an
earlier batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .. import queries
from ..artifacts import ArtifactStore
from ..batch import Batch
from ..db import Database
from ..errors import MissingExtraError, StoreError
from ..inputs import shards
from ..lifecycle.values import storable
from ..manifests import Line, Manifest, ManifestError
from ..records import Artifact, Job
from ..states import State

OURS = ("name", "job", "state", "error")
TABLE = "rows.parquet"  # what a job with a shard leaves
ERROR = "error"  # its column of what has no answer
_APART = ("name", "notes", "warnings", "error")  # of a row of a job of few items
_CHUNK = 500  # jobs that are read at a time
_LINES = 10_000  # of a manifest, likewise: a job's table is read once for all its rows among them


def rows_of_batch(
    database: Database, artifacts: ArtifactStore, batch_id: int
) -> Iterator[dict[str, Any]]:
    """The rows of a batch; few are in memory at a time.

    Pictures that a kind draws are not among them: they are in the files of its jobs.

    Raises:
        StoreError: what a job has left is not in the store, or damaged; or the manifest of a batch
            with items that were known.
        MissingExtraError: it is a table, and pyarrow is not installed.
    """
    with database.read() as connection:
        batch = queries.get_batch(connection, batch_id)
        ids = queries.ids_of_batch(connection, batch_id)
    with TemporaryDirectory(prefix="cvq-rows-") as folder:
        jobs = _Jobs(database, artifacts, Path(folder))
        if batch.known:
            yield from _rows_by_manifest(batch, ids, jobs)
            return
        for start in range(0, len(ids), _CHUNK):
            for job, files in jobs.read(ids[start : start + _CHUNK]):
                yield from jobs.rows(job, files)


def open_manifest(batch: Batch, artifacts: ArtifactStore, scratch: Path) -> Manifest:
    """The manifest of a batch, or of its copy in `scratch`, where the store is remote.

    Raises:
        StoreError: it is not in the store, or damaged.
        ManifestError: it cannot be read.
    """
    if batch.manifest is None:
        raise StoreError(f"batch {batch.id} has no manifest")
    return Manifest(artifacts.fetch_input(batch.manifest, scratch))


def failed_rows(path: Path) -> set[int | None]:
    """Which rows of a job's table have an error and no answer.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    with _opened(path) as file:
        errors = itertools.chain.from_iterable(
            batch.column(0).is_valid().to_pylist() for batch in file.iter_batches(columns=[ERROR])
        )
        return {row for row, is_error in enumerate(errors) if is_error}


def _rows_by_manifest(batch: Batch, ids: Sequence[int], jobs: _Jobs) -> Iterator[dict[str, Any]]:
    """The rows of a batch of which earlier ones have answered items."""
    try:
        with (
            open_manifest(batch, jobs.artifacts, jobs.scratch) as manifest,
            closing(manifest.lines()) as lines,
        ):
            while some := list(itertools.islice(lines, _LINES)):
                yield from _rows_of_lines(some, ids, jobs)
    except ManifestError as error:
        raise StoreError(f"the manifest of batch {batch.id} {error}") from None


def _rows_of_lines(
    lines: Sequence[Line], ids: Sequence[int], jobs: _Jobs
) -> Iterator[dict[str, Any]]:
    wanted: dict[int, list[tuple[int, int | None]]] = {}  # of each job: which lines, which rows
    for place, line in enumerate(lines):
        wanted.setdefault(_job_of(line, ids), []).append((place, line.row))
    found: list[list[dict[str, Any]]] = [[_gone(line, ids)] for line in lines]
    for start in range(0, len(wanted), _CHUNK):
        for job, files in jobs.read(sorted(wanted)[start : start + _CHUNK]):
            rows = list(jobs.rows(job, files))
            for place, row in wanted[job.id]:
                found[place] = rows if row is None else rows[row : row + 1] or found[place]
    for line, rows in zip(lines, found, strict=True):
        yield from ([{**rows[0], "name": line.name}] if len(rows) == 1 else rows)


def _job_of(line: Line, ids: Sequence[int]) -> int:
    if line.earlier is not None:
        return line.earlier
    return ids[line.job] if line.job is not None and line.job < len(ids) else 0


def _gone(line: Line, ids: Sequence[int]) -> dict[str, Any]:
    """The row of an item whose job there is not any more."""
    job = _job_of(line, ids) or None
    told = "the job that has answered it is gone: submit it again"
    return {"name": line.name, "job": job, "state": str(State.FAILED), "error": told}


class _Jobs:
    """Jobs of one batch or of several, and what they have answered."""

    def __init__(self, database: Database, artifacts: ArtifactStore, scratch: Path) -> None:
        self.artifacts, self.scratch = artifacts, scratch
        self._database = database

    def read(self, ids: Sequence[int]) -> list[tuple[Job, list[Artifact]]]:
        """Jobs, in order, those with shards with the files that they have left."""
        with self._database.read() as connection:
            jobs = queries.get_jobs(connection, ids)
            files = queries.artifacts_of(connection, [job.id for job in jobs if _shard(job)])
        return [(job, files.get(job.id, [])) for job in jobs]

    def rows(self, job: Job, files: Sequence[Artifact]) -> Iterator[dict[str, Any]]:
        """The rows of a job: one for each of its items."""
        if (shard := _shard(job)) is None:
            return _rows_of_job(job)
        table = next((file for file in files if file.name == TABLE), None)
        # One that failed with all its rows has left them, each with its own reason.
        if job.state in (State.SUCCEEDED, State.FAILED) and table is not None:
            return _rows_of_table(job, self.artifacts.fetch_readable(table, self.scratch))
        return _rows_of_shard(job, self.artifacts.fetch_input(shard, self.scratch))


def _shard(job: Job) -> str | None:
    """The SHA-256 of the shard that a job answers; None of one that has none."""
    given = (one for value in job.spec.values() if isinstance(value, list) for one in value)
    for one in given:
        if isinstance(one, dict) and str(one.get("name")).lower().endswith(shards.ENDING):
            return one.get("sha256")
    return None


def _rows_of_table(job: Job, path: Path) -> Iterator[dict[str, Any]]:
    with _opened(path) as file:
        from pyarrow.types import is_binary

        names = [one.name for one in file.schema_arrow if not is_binary(one.type)]
        for batch in file.iter_batches(batch_size=_CHUNK, columns=names):
            for row in batch.to_pylist():
                yield _row(job, row["name"], _answer(row), row["error"])


def _answer(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row of a table says of an answer, in the shape that a job's result has it."""
    given = {name: value for name, value in row.items() if name not in ("name", ERROR)}
    if row[ERROR] is not None:  # a table has a cell in every column
        given = {name: value for name, value in given.items() if value is not None}
    if given.get("notes") is None:
        given.pop("notes", None)
    answer: dict[str, Any] = storable(given)
    return answer


def _opened(path: Path) -> Any:
    try:
        import pyarrow.parquet as parquet
    except ModuleNotFoundError:
        raise MissingExtraError("parquet", "a table of results") from None
    return parquet.ParquetFile(path)


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
