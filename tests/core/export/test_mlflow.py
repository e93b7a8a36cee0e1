"""A real MLflow, in a file of SQLite, has what was exported, once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from past import Past
from sqlalchemy import insert, text, update
from steps import opened

from cvq import schema
from cvq import tables as t
from cvq.errors import SetupError, UsageError
from cvq.export import reading
from cvq.export.mlflow import Mlflow

pytestmark = pytest.mark.slow


@pytest.fixture
def past(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)  # where MLflow keeps files, unless a server does
    with opened() as database:
        schema.ensure(database)
        yield Past(database, tmp_path)


def points(past: Past, job: int, name: str, *values: float | None, start: int = 0) -> None:
    with past.database.write() as connection:
        connection.execute(
            insert(t.metrics).values(time=t.now()),
            [
                {"job_id": job, "attempt": 1, "name": name, "step": start + n, "value": value}
                for n, value in enumerate(values)
            ],
        )


def export(past: Past, mlflow: Mlflow, *jobs: int) -> list[bool]:
    return [mlflow.write(each) for each in reading.each(past.database, jobs)]


def runs(uri: str, name: str = "cvq-selftest") -> list[Any]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(name)
    return list(client.search_runs([experiment.experiment_id]))


def history(uri: str, run: Any, name: str) -> list[tuple[int, float]]:
    from mlflow.tracking import MlflowClient

    found = MlflowClient(tracking_uri=uri).get_metric_history(run.info.run_id, name)
    return sorted((each.step, each.value) for each in found)


@pytest.mark.filterwarnings("ignore")  # MLflow's and its libraries' own
def test_jobs_become_runs_once(past: Past, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    job = past.job(
        files={"a/result.txt": "hello"}, name="mine", tags={"team": "x", "odd'key": "y"}
    )
    points(past, job, "val loss", 1.5, None, *range(2, 1_500))
    going_on = past.job(state="running")
    points(past, going_on, "loss", 1.0, 2.0)
    store = past.store
    mlflow = Mlflow(uri, past.database, store)
    assert export(past, mlflow, job, going_on) == [True, True]
    again = Mlflow(uri, past.database, store)
    assert export(past, again, job, going_on) == [False, False]
    points(past, going_on, "loss", 3.0, start=2)
    with past.database.write() as connection:
        connection.execute(
            update(t.jobs).where(t.jobs.c.id == going_on).values(state="failed", error="no")
        )
    assert export(past, Mlflow(uri, past.database, store), job, going_on) == [False, True]

    first, second = sorted(runs(uri), key=lambda run: int(run.data.tags["cvq.job"]))
    assert (first.info.run_name, first.info.status) == ("mine", "FINISHED")
    assert first.data.params == {"seed": "7"}
    assert first.data.tags["team"] == "x"
    assert first.data.tags["odd_key"] == "y"
    curve = history(uri, first, "val loss")
    assert len(curve) == 1_500
    assert math.isnan(dict(curve)[1])
    assert curve[-1] == (1_499, 1_499.0)
    files = Path(first.info.artifact_uri.removeprefix("file://"))
    assert (files / "a" / "result.txt").read_text() == "hello"
    assert second.info.status == "FAILED"
    assert history(uri, second, "loss") == [(0, 1.0), (1, 2.0), (2, 3.0)]


@pytest.mark.filterwarnings("ignore")
def test_any_name_is_taken(past: Past, tmp_path: Path) -> None:
    odd = ["../x", "/loss", "a//b", "ä ö", "n" * 100, "a,b", "a;b", ".", "$"]
    job = past.job(
        inputs={name: name for name in [*odd, "", "é" * 600]}, tags={"../t": "", "": "x"}
    )
    for name in odd:
        points(past, job, name, 1.0)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert export(past, Mlflow(uri, past.database), job) == [True]
    [run] = runs(uri)
    assert {"x", "loss", "a/b", "ä ö", "n" * 100, "a_b", "_"} <= set(run.data.metrics)


def test_the_database_of_cvq_is_refused(past: Past, home: Path) -> None:
    with pytest.raises(UsageError, match="must not use the database of cvq"):
        Mlflow(f"sqlite:///{home}/../{home.name}/cvq.db", past.database)
    with past.database.read() as connection:
        version = connection.scalar(text("SELECT version_num FROM alembic_version"))
    assert version == t.SCHEMA_VERSION


@pytest.mark.filterwarnings("ignore")
def test_a_server_that_is_not_there_is_one_line(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow = Mlflow("http://me:hunter2@127.0.0.1:1", past.database)
    with pytest.raises(SetupError, match=r"^MLflow at http://\*\*\*@127.0.0.1:1: ") as caught:
        export(past, mlflow, past.job())
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)
