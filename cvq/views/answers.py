"""What jobs of batches have answered: the rows of each, and which of them are no answers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import queries
from ..artifacts import ArtifactStore
from ..batch import Batch
from ..db import Database
from ..errors import MissingExtraError, StoreError
from ..inputs import shards
from ..lifecycle.values import storable
from ..manifests import Manifest
from ..records import Artifact, Job
from ..row_names import ERROR, FEW, NAME, NOTES, ROWS, ROWS_IN, TABLE
from ..states import State
from ..text import one_line

OURS = ("name", "job", "state", "error")
_APART = (NAME, NOTES, "warnings", ERROR)  # of a row of a job of few items
_CHUNK = 500  # rows that are read at a time
_FEW = 16  # of those with their files


class Answers:
    """Reads what jobs of one batch or of several have answered.

    Args:
        database: with the jobs.
        artifacts: with their files.
        scratch: a folder for copies, where the store is remote.
    """

    def __init__(self, database: Database, artifacts: ArtifactStore, scratch: Path) -> None:
        self.database = database
        self._artifacts, self._scratch = artifacts, scratch

    def manifest(self, batch: Batch) -> Manifest:
        """The manifest of a batch.

        Raises:
            StoreError: it is not in the store, or damaged.
            ManifestError: it cannot be read.
        """
        if batch.manifest is None:
            raise StoreError(f"batch {batch.id} has no manifest")
        return Manifest(self._artifacts.fetch_input(batch.manifest, self._scratch))

    def jobs(self, ids: Sequence[int]) -> list[tuple[Job, list[Artifact]]]:
        """Jobs, in order, those with shards with the files that they have left."""
        with self.database.read() as connection:
            jobs = queries.get_jobs(connection, ids)
            files = queries.artifacts_of(connection, [job.id for job in jobs if _shard(job)])
        return [(job, files.get(job.id, [])) for job in jobs]

    def rows(self, job: Job, files: Sequence[Artifact]) -> Iterator[dict[str, Any]]:
        """The rows of a job: one for each of its items.

        Raises:
            StoreError: what it has left is not in the store, or damaged.
            MissingExtraError: that is a table, and pyarrow is not installed.
        """
        if (shard := _shard(job)) is None:
            return _rows_of_job(job)
        # One that failed with all its rows has left them, each with its own reason.
        if job.state in (State.SUCCEEDED, State.FAILED) and (table := _table(files)) is not None:
            path = self._artifacts.fetch_readable(table, self._scratch)
            return _rows_of_table(job, path)
        return _rows_of_shard(job, self._artifacts.fetch_input(shard, self._scratch))

    def failed_rows(self, job_id: int) -> set[int]:
        """Which rows of a job with a shard are no answers.

        Raises:
            StoreError, MissingExtraError: as for `rows`.
        """
        with self.database.read() as connection:
            table = _table(queries.artifacts_of(connection, [job_id])[job_id])
        if table is None:
            raise StoreError(f"job {job_id} has left no {TABLE}")
        with _opened(self._artifacts.fetch_readable(table, self._scratch)) as file:
            errors = itertools.chain.from_iterable(
                batch.column(0).is_valid().to_pylist()
                for batch in file.iter_batches(columns=[ERROR])
            )
            return {row for row, is_error in enumerate(errors) if is_error}


def _table(files: Sequence[Artifact]) -> Artifact | None:
    return next((file for file in files if file.name == TABLE), None)


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


def first_of_table(path: Path, most: int) -> list[dict[str, Any]]:
    """The first rows of a table in Parquet, without what is bytes.

    Raises:
        MissingExtraError: pyarrow is not installed.
        StoreError: it is no such table.
    """
    try:
        with _opened(path) as file:
            from pyarrow.types import is_binary

            names = [one.name for one in file.schema_arrow if not is_binary(one.type)]
            chunks = file.iter_batches(batch_size=max(1, most), columns=names)
            rows: list[dict[str, Any]] = next(chunks).to_pylist() if file.metadata.num_rows else []
            return rows[:most]
    except (ValueError, OSError) as error:  # pyarrow's own are these, too
        raise StoreError(f"{path.name} is no table in Parquet: {one_line(str(error))}") from None


def files_of_rows(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The files of each row of a table that has any, by their names, with the row's own.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    with _opened(path) as file:
        from pyarrow.types import is_binary

        names = [one.name for one in file.schema_arrow if is_binary(one.type)]
        if not names:
            return
        for batch in file.iter_batches(batch_size=_FEW, columns=[NAME, *names]):
            for row in batch.to_pylist():
                yield row[NAME], {name: row[name] for name in names if row[name] is not None}


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
    rows = result.get(ROWS) if result.get(ROWS_IN) == FEW else None
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
