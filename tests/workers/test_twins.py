"""Identical work on real workers: one computes; cancelled or killed, another does."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Worker
from cvq import Client, JobHandle, Settings
from cvq.states import State
from waiting import HANG_S, eventually


@pytest.fixture
def counted(client: Client, start_worker: Callable[..., Worker]) -> Callable[..., Worker]:
    """Starts workers that know the kind of `tests/counted.py`, as the client does."""
    client.settings = Settings.load(kinds=["counted"])
    return lambda: start_worker(CVQ_KINDS="counted", CVQ_LEASE="3")


def test_one_computes_whatever_becomes_of_the_first(
    client: Client, counted: Callable[..., Worker], tmp_path: Path
) -> None:
    def send() -> JobHandle:
        return client.submit("counted", folder=str(tmp_path))

    def runs() -> list[list[int]]:
        path = tmp_path / "runs"
        lines = path.read_text().splitlines() if path.exists() else []
        return [[int(word) for word in line.split()] for line in lines]

    def last_of(job: JobHandle, count: int) -> int:
        """The process that runs a job, once there have been so many runs."""
        eventually(lambda: len(runs()) >= count, what=f"run {count}")
        assert runs()[-1][0] == job.id
        return runs()[-1][1]

    worker = counted()
    first = send()
    last_of(first, 1)
    others = [send() for _ in range(4)]
    assert {job.state for job in others} == {State.WAITING}
    first.cancel()
    # The next runs in its place; its process is killed, and it is tried again.
    os.kill(last_of(others[0], 2), signal.SIGKILL)
    last_of(others[0], 3)
    assert [job.refresh().twin_of for job in others] == [None, *[others[0].id] * 3]
    worker.stop(signal.SIGKILL)  # and now its worker, with all that it runs
    late = send()
    assert late.twin_of == others[0].id
    counted()
    last_of(others[0], 4)
    assert len(runs()) == 4
    (tmp_path / "go").touch()
    for job in (*others, late):
        assert job.wait(HANG_S).result == {"said": "done"}
        assert [file.name for file in job.artifacts] == ["said.txt"]
    assert send().state == State.SUCCEEDED
    assert len(runs()) == 4
    assert first.refresh().state == State.CANCELLED
    [mine] = late.save(tmp_path / "copies")
    assert mine.read_text() == "done\n"
