"""Real workers: any program as a job, stopped, resumed, cancelled, and run again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from conftest import Worker
from cvq import Client, JobHandle
from waiting import HANG_S, eventually

TRAIN = """
import json, os, signal, sys, time
saved = os.path.join(os.environ["CVQ_CHECKPOINT_DIR"], "step")
begun = int(open(saved).read()) if os.path.exists(saved) else 0
print("begins at", begun, os.environ["CUDA_VISIBLE_DEVICES"] or "no GPU", flush=True)
def save(*_):
    with open(saved, "w") as file:
        file.write("41")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print(json.dumps({"cvq": {"step": begun + 1, "loss": 0.5}}), flush=True)
while not begun:
    time.sleep(0.02)
os.mkdir("out")
with open("out/model.txt", "w") as file:
    file.write(os.environ["SECRET_OF_TEST"])
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with a program that saves itself when it is to stop, and goes on from there."""
    folder = tmp_path / "program"
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN)
    return folder


def printed(handle: JobHandle, words: str) -> bool:
    return words in "\n".join(handle.logs())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_program_that_is_stopped_goes_on_where_it_was(
    client: Client, start_worker: Callable[..., Worker], program: Path, method: str
) -> None:
    environment = {"CVQ_PASS_ENV": "SECRET_OF_TEST", "SECRET_OF_TEST": "hidden"}
    worker = start_worker("--gpus", "none", CVQ_START_METHOD=method, **environment)
    # A shell between, which does not pass the signal on.
    job = client.submit(
        "command", argv=["sh", "-c", "python train.py; exit $?"], workdir=program,
        env=["SECRET_OF_TEST"], keep=["out/**"], retries=0,
    )  # fmt: skip
    shutil.rmtree(program)  # the job has its files
    eventually(lambda: printed(job, '"loss"'))
    worker.stop()
    assert job.refresh().state == "queued"
    start_worker("--gpus", "none", CVQ_START_METHOD=method, **environment)
    ended = job.wait(HANG_S)
    assert ended.result == {"exit_code": 0, "files_kept": 1}
    assert printed(job, "begins at 41 no GPU")
    assert [a.name for a in job.artifacts] == ["out/model.txt"]
    assert job.curve("loss")[0] == (1, 0.5)
    assert "hidden" not in str(client.to_json(ended))


def test_a_program_that_is_cancelled_is_gone_with_its_children(
    client: Client, start_worker: Callable[..., Worker], tmp_path: Path
) -> None:
    start_worker("--gpus", "none")
    mark = f"cvq-test-{tmp_path.name}"
    script = f"trap '' TERM; (trap '' TERM; exec -a {mark} sleep 600) & exec -a {mark} sleep 600"
    job = client.submit("command", argv=["bash", "-c", script], workdir="none", retries=0)

    def left() -> list[list[str]]:
        found = (process.info["cmdline"] or [""] for process in psutil.process_iter(["cmdline"]))
        return [words for words in found if words[0] == mark]

    eventually(lambda: len(left()) == 2)
    job.cancel()
    assert job.wait(HANG_S, check=False).state == "cancelled"
    assert left() == []


def test_how_a_program_ended_is_recorded_and_it_can_be_run_again(
    client: Client, start_worker: Callable[..., Worker], program: Path
) -> None:
    start_worker("--gpus", "none")
    job = client.submit(
        "command", argv=["sh", "-c", "echo 1 > left.txt; exit {code}"], workdir=program,
        values={"code": 3}, keep=["*.txt"],
    )  # fmt: skip
    failed = job.wait(HANG_S, check=False)
    assert (failed.state, failed.reason, failed.attempt) == ("failed", "exit:3", 1)
    assert "left with exit code 3" in str(failed.error)
    assert [a.name for a in job.artifacts] == ["left.txt"]
    shutil.rmtree(program)
    again = client.rerun(job, **{"values.code": 0}).wait(HANG_S)
    assert again.result == {"exit_code": 0, "files_kept": 1}
    crashed = client.submit(
        "command", argv=["sh", "-c", "kill -SEGV $$"], workdir="none", retries=0
    )
    assert crashed.wait(HANG_S, check=False).reason == "signal:SEGV"
