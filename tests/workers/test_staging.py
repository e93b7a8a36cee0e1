"""What a job needs, on its way to the machine that runs it."""

from __future__ import annotations

from pathlib import Path

import gated  # noqa: F401 - a store that is not a folder

from cvq.artifacts import ArtifactStore
from cvq.jobs import Artifact, Lease
from cvq.kinds.spec import ModelFile
from cvq_workers.staging import _model


def test_the_models_that_one_job_uses_do_not_meet(tmp_path: Path) -> None:
    # Every training calls its model the same.
    artifacts = ArtifactStore(f"gated://{tmp_path}/store")
    left: dict[int, Artifact] = {}
    for job in (3, 4):
        path = tmp_path / "model.safetensors"
        path.write_text(f"of job {job}")
        left[job] = artifacts.put_artifact(Lease(job, 1), path, name=path.name, role="model")
    paths = [
        _model(
            ModelFile(name=f"model of job {job}", job=job), artifacts, left.get, tmp_path / "in"
        )
        for job in left
    ]
    assert [path.read_text() for path in paths] == ["of job 3", "of job 4"]
