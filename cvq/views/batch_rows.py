"""What came out of a batch: a row for each item, in the order in which they were given.

A row has `name`, `job` and `state`, then what the kind answers, `notes` where there are any, and
`error` last, None where there is none. A name of the kind's own that is `job` or `state` gets a
`_` behind it. `job` is the one that has computed the row: of an item that was known, one of an
earlier batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .. import queries
from ..artifacts import ArtifactStore
from ..batch import Batch
from ..db import Database
from ..errors import StoreError
from ..manifests import Line, ManifestError
from ..states import State
from .answers import Answers

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
        answers = Answers(database, artifacts, Path(folder))
        if batch.known:
            yield from _rows_by_manifest(batch, ids, answers)
            return
        for start in range(0, len(ids), _CHUNK):
            for job, files in answers.jobs(ids[start : start + _CHUNK]):
                yield from answers.rows(job, files)


def _rows_by_manifest(
    batch: Batch, ids: Sequence[int], answers: Answers
) -> Iterator[dict[str, Any]]:
    """The rows of a batch of which earlier ones have answered items."""
    try:
        with (
            answers.manifest(batch) as manifest,
            closing(manifest.lines()) as lines,
        ):
            while some := list(itertools.islice(lines, _LINES)):
                yield from _rows_of_lines(some, ids, answers)
    except ManifestError as error:
        raise StoreError(f"the manifest of batch {batch.id} {error}") from None


def _rows_of_lines(
    lines: Sequence[Line], ids: Sequence[int], answers: Answers
) -> Iterator[dict[str, Any]]:
    wanted: dict[int, list[tuple[int, int | None]]] = {}  # of each job: which lines, which rows
    for place, line in enumerate(lines):
        wanted.setdefault(_job_of(line, ids), []).append((place, line.row))
    found: list[list[dict[str, Any]]] = [[_gone(line, ids)] for line in lines]
    for start in range(0, len(wanted), _CHUNK):
        for job, files in answers.jobs(sorted(wanted)[start : start + _CHUNK]):
            rows = list(answers.rows(job, files))
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
