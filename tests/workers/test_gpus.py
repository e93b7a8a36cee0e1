"""Workers and their GPUs: told by a stand-in for NVML, as tests run on machines without one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from gpus import STAND_IN, FakeGpus

from conftest import TESTS, Worker
from cvq import Client
from waiting import HANG_S, eventually

NAMED = "import os; r = {name: os.environ[name] for name in os.environ if name[:5] == 'CUDA_'}"
PATHS = f"{STAND_IN}:{TESTS}"


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpus:
    found = FakeGpus(tmp_path, monkeypatch)
    found.are({"uuid": "GPU-1"}, {"uuid": "GPU-2"})
    return found


def refused(*arguments: str) -> str:
    """What a worker says that does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "cvq_workers", *arguments],
        capture_output=True, text=True, timeout=HANG_S,
        env=os.environ | {"PYTHONPATH": PATHS, "CVQ_PRELOAD": ""},
    )  # fmt: skip
    assert done.returncode in (2, 4), done.stderr
    [line] = done.stderr.splitlines()
    return line


def test_a_job_sees_the_gpu_of_its_slot_and_no_other(
    gpus: FakeGpus, client: Client, start_worker: Callable[..., Worker]
) -> None:
    worker = start_worker("--gpus", "1", "--slots-per-gpu", "2", PYTHONPATH=PATHS)
    assert worker.row.devices == ["cuda:1", "cuda:1"]
    job = client.submit("misbehave", how="python", code=NAMED, gpu=True).wait(HANG_S)
    assert job.result is not None
    assert job.result["CUDA_VISIBLE_DEVICES"] == "GPU-2"
    assert job.result["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    without = client.submit("misbehave", how="python", code=NAMED, gpu=False, queue="gpu")
    assert without.wait(HANG_S).result["CUDA_VISIBLE_DEVICES"] == ""  # type: ignore[index]


def test_no_two_workers_have_one_gpu_whatever_they_call_it(
    gpus: FakeGpus, client: Client, start_worker: Callable[..., Worker]
) -> None:
    first = start_worker("--gpus", "0", PYTHONPATH=PATHS)
    said = refused("--gpus", "GPU-1")
    assert f"GPU 0 (GPU-1) is used by process {first.process.pid}: stop that one" in said
    assert "start both with --share-gpu" in refused("--share-gpu")
    start_worker("--gpus", "GPU-2", PYTHONPATH=PATHS)
    running = client.submit("misbehave", how="hang", gpu=True, retries=0)
    eventually(lambda: running.refresh().state == "running")
    first.stop(signal.SIGKILL)  # its job, if it has it, goes with it
    start_worker("--gpus", "GPU-1", PYTHONPATH=PATHS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--gpus", "2"], "there is no GPU '2' here: there is 0 (GPU-1) and 1 (GPU-2)"),
        (["--gpus", "1,GPU-2"], "GPU 1 (GPU-2) is named twice"),
        (["--gpus", "none", "--cpu-slots", "0"], "a worker needs a slot"),
        (["--slots", "2", "--slots-per-gpu", "2"], "give either --slots, or --slots-per-gpu"),
    ],
)
def test_devices_that_there_are_not_are_refused(
    gpus: FakeGpus, client: Client, words: list[str], said: str
) -> None:
    assert said in refused(*words)
