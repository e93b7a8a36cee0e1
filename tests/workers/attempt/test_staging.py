"""What a job needs, on its way to the machine that runs it."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gated  # noqa: F401 - a store that is not a folder
import pytest

from cvq import Kind, ModelFile, Settings, Spec, queries
from cvq.artifacts import ArtifactStore
from cvq.db import Database
from cvq.devices import Slot
from cvq.errors import PermanentError, StoreError
from cvq.ids import AttemptId
from cvq.presence import scratch_of
from cvq.records import Artifact, Job
from cvq_workers.attempt.attempt import Attempt
from cvq_workers.attempt.execution import Execution, Site
from cvq_workers.attempt.leased import LeasedDatabase
from cvq_workers.attempt.staging import stage
from cvq_workers.attempt.trained import TrainedModels
from cvq_workers.clock import lease_clock
from cvq_workers.launch.launcher import Launcher
from waiting import HANG_S

NO_CONNECTION: Any = None


class SeveralSpec(Spec):
    """Use several models."""

    models: list[ModelFile]


def test_the_models_that_one_job_uses_do_not_meet(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every training calls its model the same.
    artifacts = ArtifactStore(f"gated://{tmp_path}/store")
    left: dict[int, Artifact] = {}
    for job in (3, 4):
        path = tmp_path / "model.safetensors"
        path.write_text(f"of job {job}")
        left[job] = artifacts.put_artifact(AttemptId(job, 1), path, name=path.name, role="model")
    monkeypatch.setattr(queries, "model_of", lambda _, job: left[job])
    warned = SimpleNamespace(warnings=["too few epochs"])
    monkeypatch.setattr(queries, "get_job", lambda *_: warned)
    trained = TrainedModels(lambda query: query(NO_CONNECTION), artifacts, tmp_path / "models")
    several = Kind("several", SeveralSpec, "several:run", "Use several models.")
    monkeypatch.setattr("cvq_workers.attempt.staging.get_kind", lambda *_: several)
    models = [{"name": f"model of job {job}", "job": job} for job in left]
    request = stage(
        running("several", {"models": models}), Slot("cpu", 1), tmp_path / "in",
        settings=Settings.load(), artifacts=artifacts, saved=[], model=trained.bring,
    )  # fmt: skip
    found = json.loads(request.read_text())["inputs"]
    assert [Path(file["path"]).read_text() for file in found] == ["of job 3", "of job 4"]
    assert [file["warned"] for file in found] == [["too few epochs"]] * 2


def test_an_input_that_a_row_names_by_a_path_is_not_read(tmp_path: Path, home: Path) -> None:
    settings = Settings.load()
    artifacts = ArtifactStore((tmp_path / "store").as_uri())
    for given in ("/etc/passwd", {"name": "x.png", "path": "/etc/passwd"}):
        job = running("classify", {"images": [given], "model": 3})
        with pytest.raises(PermanentError, match="given by a path and not by its content"):
            stage(
                job, Slot("cpu", 1), tmp_path / "scratch", settings=settings,
                artifacts=artifacts, saved=[], model=no_model,
            )  # fmt: skip


def test_what_is_brought_too_late_is_not_left_behind(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, released = threading.Event(), threading.Event()
    settings = database.settings
    job = running()

    def slow(_: Job, _slot: Slot, folder: Path, **_more: Any) -> Path:
        arrived.set()
        released.wait(HANG_S)
        (folder / "out").mkdir(parents=True)
        raise StoreError("it came half")

    monkeypatch.setattr("cvq_workers.attempt.execution.stage", slow)
    monkeypatch.setattr(LeasedDatabase, "read", lambda *_: [])
    attempt = Attempt(job, settings, lease_clock())
    artifacts = ArtifactStore((settings.home / "store").as_uri())
    site = Site("w", settings, database, artifacts, Launcher("spawn"))
    execution = Execution(attempt, Slot("cpu", 1), site)
    running_thread = threading.Thread(target=execution.run)
    running_thread.start()
    assert arrived.wait(HANG_S)
    attempt.lose()
    running_thread.join(HANG_S)
    [staging] = [each for each in threading.enumerate() if each.name == "cvq-stage"]
    released.set()
    staging.join(HANG_S)
    assert not (scratch_of(settings.home, "w") / f"{job.id}-{job.attempt}").exists()


def no_model(_: ModelFile) -> tuple[Path, list[str]]:
    raise PermanentError("no model")


def running(kind: str = "selftest", spec: dict[str, Any] | None = None) -> Job:
    """A job as a claim gives it."""
    values: dict[str, Any] = dict.fromkeys(Job.__dataclass_fields__)
    return Job(**values | {"id": 7, "attempt": 1, "kind": kind, "spec": spec or {}, "damage": {}})
