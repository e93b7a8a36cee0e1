"""MLflow, through its own client: a run for each job, in an experiment for each kind.

A run knows its job by tags, so that a second export goes on with it: what has not changed is left,
and of a job that has gone on, what is new is added.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from ..artifacts import ArtifactStore
from ..attributes import Attribute, params_of
from ..db import Database
from ..errors import CvqError, MissingExtraError, SetupError, UsageError
from ..results import results_of
from ..settings import masked, without_secrets
from ..states import State
from ..text import one_line
from .reading import Exported

_STATUS = {
    State.SUCCEEDED: "FINISHED",
    State.FAILED: "FAILED",
    State.CANCELLED: "KILLED",
    State.RUNNING: "RUNNING",
}
_JOB, _SOURCE, _SEEN = "cvq.job", "cvq.database", "cvq.exported"
_POINTS_AT_ONCE, _WORDS_AT_ONCE = 1_000, 100  # as much as MLflow takes
_RUNS_AT_ONCE = 1_000
_LONGEST = 5_000  # characters of a tag or a parameter
_LONGEST_NAME = 200
_ODD = re.compile(r"[^\w\-. :/]")  # what no name may have there


class _Run(NamedTuple):
    """What is kept of a run: of a million, as little as can be."""

    id: str
    seen: str  # what was exported, as `_SEEN` has it


class Mlflow:
    """An MLflow that jobs are exported to.

    Args:
        uri: as MLflow takes it: `http://host:5000`, `sqlite:///mlflow.db`.
        database: of the jobs.
        artifacts: where their files are, where these are exported too: the results of each.
        experiment: for all jobs; one for each kind, called `cvq-KIND`, where not given.

    Raises:
        MissingExtraError: MLflow is not installed.
        UsageError: this is the database of the jobs, whose schema MLflow would write over.
        SetupError: it cannot be reached; so does `write`.
    """

    def __init__(
        self,
        uri: str,
        database: Database,
        artifacts: ArtifactStore | None = None,
        experiment: str | None = None,
    ) -> None:
        _refuse_own(uri, database)
        self._uri, self._artifacts, self._experiment = uri, artifacts, experiment
        # Of several databases that are exported to one MLflow, each has a job 1.
        self._source = hashlib.sha256(str(database).encode()).hexdigest()[:16]
        self._runs: dict[str, dict[str, _Run]] = {}  # by experiment and job
        with self._errors():
            self._client = _client(uri)

    def write(self, exported: Exported) -> bool:
        """Bring the run of a job up to date; False where it was.

        A parameter or a tag that is longer than MLflow takes is cut.
        """
        job = exported.job
        with self._errors():
            name = self._experiment or f"cvq-{job.kind}"
            runs = self._of(name)
            seen = _seen(exported)
            run = runs.get(str(job.id))
            had = json.loads(run.seen) if run is not None else {}
            if {**seen, "files": seen["files"] if self._artifacts else had.get("files")} == had:
                return False
            if run is None:
                made = self._client.create_run(
                    runs[""].id, start_time=_ms(job.started_at or job.created_at),
                    run_name=job.name or f"job {job.id}",
                    tags={_JOB: str(job.id), _SOURCE: self._source, "mlflow.user": job.user},
                )  # fmt: skip
                run = _Run(made.info.run_id, "{}")
            self._log(run.id, exported, had.get("point", 0))
            if self._artifacts is not None:
                self._log_files(run.id, exported, self._artifacts)
            else:
                seen["files"] = had.get("files")
            run = _Run(run.id, json.dumps(seen))
            self._client.set_tag(run.id, _SEEN, run.seen)
            self._end(run.id, exported)
            runs[str(job.id)] = run
        return True

    def _of(self, name: str) -> dict[str, _Run]:
        """The runs of an experiment by their jobs, and itself under the empty name."""
        if name not in self._runs:
            found = self._client.get_experiment_by_name(name)
            number = found.experiment_id if found else self._client.create_experiment(name)
            self._runs[name] = {"": _Run(number, "")}
            query, page = f"tags.`{_SOURCE}` = '{self._source}'", None
            while True:
                runs = self._client.search_runs(
                    [number], query, max_results=_RUNS_AT_ONCE, page_token=page
                )
                self._runs[name] |= {
                    run.data.tags[_JOB]: _Run(run.info.run_id, run.data.tags.get(_SEEN, "{}"))
                    for run in runs
                }
                if not (page := runs.token):
                    break
        return self._runs[name]

    def _log(self, run: str, exported: Exported, after: int) -> None:
        from mlflow.entities import Metric, Param, RunTag

        job = exported.job
        # Names that are alike here are one there, and a parameter has one value.
        params = [Param(*each) for each in dict(_words(params_of(job.spec))).items()]
        tags = [RunTag(_name(key), value[:_LONGEST]) for key, value in job.tags.items()]
        given = {"state": job.state, "reason": job.reason, "kind": job.kind, "error": job.error}
        tags += [RunTag(f"cvq.{key}", str(v)[:_LONGEST]) for key, v in given.items() if v]
        for some in _pieces(params, _WORDS_AT_ONCE):
            self._client.log_batch(run, params=some)
        for some in _pieces(tags, _WORDS_AT_ONCE):
            self._client.log_batch(run, tags=some)
        points = (
            Metric(_name(point.name), _number(point.value), _ms(point.time), point.step)
            for curve in exported.curves.values()
            for point in curve
            if point.id > after
        )
        for some in _pieces(points, _POINTS_AT_ONCE):
            self._client.log_batch(run, metrics=some)

    def _log_files(self, run: str, exported: Exported, artifacts: ArtifactStore) -> None:
        for artifact in results_of(exported.artifacts):
            with TemporaryDirectory(prefix="cvq-mlflow-") as folder:
                path = PurePosixPath(artifact.name)
                copy = artifacts.fetch(artifact, Path(folder) / path.name)
                within = str(path.parent) if path.parent != PurePosixPath(".") else None
                self._client.log_artifact(run, str(copy), within)

    def _end(self, run: str, exported: Exported) -> None:
        job = exported.job
        if job.finished:
            end = _ms(job.finished_at or job.created_at)
            self._client.set_terminated(run, _STATUS[State(job.state)], end)
        else:
            self._client.update_run(run, status=_STATUS.get(State(job.state), "SCHEDULED"))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of libraries, about themselves
                yield
        except CvqError:
            raise
        except Exception as error:  # MLflow's own, and those of whatever carries it
            told = one_line(without_secrets(str(error), self._uri), 300)
            raise SetupError(f"MLflow at {masked(self._uri)}: {told}") from error


def _client(uri: str) -> Any:
    try:
        from mlflow.tracking import MlflowClient
    except ModuleNotFoundError:
        raise MissingExtraError("mlflow", "an export to MLflow") from None
    for name in ("mlflow", "alembic"):  # which tell how they make a database
        logging.getLogger(name).setLevel(logging.ERROR)
    return MlflowClient(tracking_uri=uri)


def _refuse_own(uri: str, database: Database) -> None:
    """Refuse the database of the jobs: both keep the version of their schema in one table."""
    try:
        given = make_url(uri)
    except ArgumentError:
        return
    own = database.url
    if given.get_backend_name() != own.get_backend_name():
        return
    if database.is_sqlite:
        same = bool(given.database and own.database) and (
            Path(str(given.database)).resolve() == Path(str(own.database)).resolve()
        )
    else:
        same = (given.host, given.port or 5432, given.database) == (
            own.host, own.port or 5432, own.database,
        )  # fmt: skip
    if same:
        raise UsageError("MLflow must not use the database of cvq: give it one of its own")


def _seen(exported: Exported) -> dict[str, Any]:
    """What of a job a run has, to be compared."""
    job = exported.job
    points = [point.id for curve in exported.curves.values() for point in curve]
    files = [artifact.sha256 for artifact in results_of(exported.artifacts)]
    told = [job.state, job.attempt, job.tags, job.name, job.error]
    return {
        "point": max(points, default=0),
        "told": hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16],
        "files": hashlib.sha256("".join(files).encode()).hexdigest()[:16],
    }


def _words(params: Sequence[Attribute]) -> Iterator[tuple[str, str]]:
    for each in params:
        value = f"{each.value:.15g}" if each.text is None else each.text
        yield _name(each.name), value[:_LONGEST]


def _name(name: str) -> str:
    """A name as MLflow takes it, which keeps it as a path."""
    parts = _ODD.sub("_", name)[:_LONGEST_NAME].split("/")
    return "/".join(part for part in parts if part not in ("", ".", "..")) or "_"


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)


def _pieces(values: Any, size: int) -> Iterator[list[Any]]:
    rest = iter(values)
    while some := list(islice(rest, size)):
        yield some
