"""A GPU of this machine belongs to one worker, whatever either calls it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cvq.devices import Gpu, GpuLocks, holder_of
from cvq.errors import SetupError
from waiting import HANG_S

CARD, OTHER = Gpu("0", "GPU-1"), Gpu("1", "GPU-2")
PART, SECOND = Gpu("0:0", "MIG-1", parent="GPU-1"), Gpu("0:1", "MIG-2", parent="GPU-1")

# Takes the locks, starts a child that keeps them as a job does, and tells its number.
WORKER = """
import os, subprocess, sys
from pathlib import Path
from cvq.devices import Gpu, GpuLocks
locks = GpuLocks([Gpu("0", "GPU-1")], Path(sys.argv[1]))
job = subprocess.Popen(["sleep", "1000"], pass_fds=locks.descriptors)
print(job.pid, flush=True)
sys.stdin.read()
"""


def taken(folder: Path, *gpus: Gpu, share: bool = False) -> GpuLocks:
    return GpuLocks(gpus, folder, share=share, patience=0.0)


def test_one_worker_has_it_and_the_next_is_told_who(tmp_path: Path) -> None:
    first = taken(tmp_path, CARD, OTHER)
    renamed = Gpu("7", CARD.uuid)
    with pytest.raises(SetupError) as error:
        taken(tmp_path, renamed)
    assert f"GPU 7 (GPU-1) is used by process {os.getpid()}: stop that one" in str(error.value)
    first.free()
    taken(tmp_path, renamed).free()


def test_who_cannot_have_all_keeps_none(tmp_path: Path) -> None:
    first = taken(tmp_path, OTHER)
    with pytest.raises(SetupError):
        taken(tmp_path, CARD, OTHER)
    assert holder_of(CARD, tmp_path) is None
    assert holder_of(OTHER, tmp_path) == f"process {os.getpid()}"
    first.free()


def test_a_gpu_that_is_shared_is_shared_by_all(tmp_path: Path) -> None:
    first, second = (taken(tmp_path, CARD, share=True) for _ in range(2))
    with pytest.raises(SetupError, match="start both with --share-gpu"):
        taken(tmp_path, CARD)
    first.free()
    second.free()
    alone = taken(tmp_path, CARD)
    with pytest.raises(SetupError):
        taken(tmp_path, CARD, share=True)
    alone.free()


def test_the_parts_of_a_gpu_are_apart_and_the_whole_is_none_of_them(tmp_path: Path) -> None:
    first, second = taken(tmp_path, PART), taken(tmp_path, SECOND)
    with pytest.raises(SetupError):
        taken(tmp_path, PART)
    with pytest.raises(SetupError):
        taken(tmp_path, CARD)
    first.free()
    second.free()
    whole = taken(tmp_path, CARD)
    assert holder_of(PART, tmp_path) is not None
    with pytest.raises(SetupError):
        taken(tmp_path, SECOND)
    whole.free()


def test_a_gpu_is_free_once_the_jobs_of_a_killed_worker_are_gone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORKER, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as worker:  # type: ignore[call-overload]
        job = int(worker.stdout.readline())
        worker.kill()
        worker.wait(HANG_S)
    assert holder_of(CARD, tmp_path) is None, "whoever waits will have it"
    with pytest.raises(SetupError):
        taken(tmp_path, CARD)
    os.kill(job, 9)
    GpuLocks([CARD], tmp_path, patience=HANG_S).free()


@pytest.mark.parametrize("what", ["link", "folder"])
def test_what_is_no_lock_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / CARD.uuid
    path.symlink_to("elsewhere") if what == "link" else path.mkdir()
    with pytest.raises(SetupError, match="cannot be locked"):
        taken(tmp_path, CARD)
    assert not (tmp_path / "elsewhere").exists()


def test_a_lock_whose_file_is_removed_is_made_again(tmp_path: Path) -> None:
    first = taken(tmp_path, CARD)
    (tmp_path / CARD.uuid).unlink()
    first.keep()
    with pytest.raises(SetupError):
        taken(tmp_path, CARD)
    first.free()


def test_who_finds_its_lock_with_another_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = taken(tmp_path, CARD)
    (tmp_path / CARD.uuid).unlink()
    second = taken(tmp_path, CARD)
    first.keep()
    assert "was removed, and another has it" in caplog.text
    first.free()
    second.free()
