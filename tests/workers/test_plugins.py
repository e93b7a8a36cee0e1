"""Kinds from elsewhere, and job processes that start from scratch."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from conftest import TESTS, Worker
from cvq import Client, Settings
from cvq.explain.explanation import explain
from cvq_workers.announce import kinds_here
from waiting import HANG_S

DOCUMENTATION = TESTS.parent / "docs" / "architecture.md"


def test_the_kind_in_the_documentation_runs(
    client: Client,
    start_worker: Callable[..., Worker],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = re.search(r"```python\n(# mykinds\.py\n.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    assert code
    (tmp_path / "mykinds.py").write_text(code[1])
    Image.effect_noise((40, 30), 90).save(tmp_path / "noise.png")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(client, "settings", Settings.load(kinds=["mykinds"]))
    start_worker(CVQ_KINDS="mykinds", PYTHONPATH=str(tmp_path))
    handle = client.submit("blur", picture=tmp_path / "noise.png", radius=5)
    assert handle.wait(HANG_S).result == {"radius": 5.0}
    (saved,) = handle.save(tmp_path)
    before, after = (Image.open(tmp_path / name) for name in ("noise.png", saved.name))
    assert before.size == after.size
    assert after.getextrema()[1] < before.getextrema()[1], "it was not blurred"


def test_a_job_process_starts_from_scratch_too(
    client: Client, start_worker: Callable[..., Worker]
) -> None:
    start_worker(CVQ_START_METHOD="spawn")
    job = client.submit("selftest", steps=2).wait(HANG_S)
    assert job.state == "succeeded"
    crashed = client.submit("misbehave", how="segv", retries=0).wait(HANG_S, check=False)
    assert crashed.reason == "signal:SEGV"


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"CVQ_KINDS": ""}, "does not know the kind 'misbehave'"),
        ({"CVQ_KINDS": "leaving"}, "leaving could not be loaded (SystemExit: no licence)"),
    ],
)
def test_a_worker_leaves_to_others_what_it_cannot_run(
    client: Client,
    start_worker: Callable[..., Worker],
    tmp_path: Path,
    environment: dict[str, str],
    reason: str,
) -> None:
    (tmp_path / "leaving.py").write_text("import sys; sys.exit('no licence')")
    start_worker("--gpus", "none", **environment, PYTHONPATH=f"{tmp_path}:{TESTS}")
    unknown = client.submit("misbehave", how="flood", retries=0)
    gpu = client.submit("selftest", gpu=True, queue="default", retries=0)
    assert client.submit("selftest", steps=1).wait(HANG_S).state == "succeeded"
    with client.db.read() as connection:
        told = [explain(connection, handle.refresh()).why for handle in (unknown, gpu)]
    assert reason in told[0]
    assert "It asks for a GPU" in told[1]
    start_worker("--gpus", "none")
    assert unknown.wait(HANG_S).attempt == 1
    assert gpu.refresh().state == "queued"


def test_a_worker_leaves_kinds_to_others_where_its_settings_say_so() -> None:
    assert "command" in kinds_here(Settings())[0]
    kinds, _ = kinds_here(Settings(leave_kinds=["command"]))
    assert "command" not in kinds
    assert "selftest" in kinds
