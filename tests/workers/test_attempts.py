"""Real workers, real processes: how attempts end, and what the history then says."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from conftest import Worker, eventually
from cvq import Client, JobHandle, queries
from cvq.jobs import Job


@pytest.fixture
def finish(client: Client, start_worker: Callable[..., Worker]) -> Callable[..., Job]:
    """Runs one job of the kind `misbehave` to its end."""
    start_worker()

    def run(how: str, **values: Any) -> Job:
        handle = client.submit("misbehave", how=how, **values)
        return handle.wait(30, check=False)

    return run


def attempts(client: Client, job: Job | JobHandle) -> list[Any]:
    with client.db.read() as session:
        return list(queries.attempts_of(session, job.id))


def test_every_death_has_its_cause_and_hurts_no_other_job(
    client: Client, finish: Callable[..., Job]
) -> None:
    told = {
        how: finish(how, retries=0)
        for how in ("segv", "exit", "raise", "permanent", "memory", "no-file", "nan")
    }
    assert {how: job.reason for how, job in told.items()} == {
        "segv": "signal:SEGV",
        "exit": "exit:3",
        "raise": "error",
        "permanent": "error",
        "memory": "oom",
        "no-file": "error",
        "nan": "error",
    }
    assert all(job.state == "failed" for job in told.values())
    assert told["raise"].error == "RuntimeError: it went wrong"
    assert told["permanent"].error == "this picture cannot be painted"
    assert "raise RuntimeError" in attempts(client, told["raise"])[0].traceback
    assert told["nan"].metrics == {"loss": None, "good": 1.0}
    good = finish("flood")
    assert good.state == "succeeded"
    assert attempts(client, good)[0].peak_memory > 1_000_000


def test_a_crash_is_retried_until_its_attempts_are_used_up(
    client: Client, finish: Callable[..., Job], tmp_path: Any
) -> None:
    marker = tmp_path / "starts"
    job = finish("exit", retries=1, marker=str(marker))
    assert (job.state, job.reason, job.attempt) == ("failed", "attempts-exhausted", 2)
    assert len(marker.read_text().splitlines()) == 2
    assert [row.reason for row in attempts(client, job)] == ["exit:3", "exit:3"]


def test_the_last_words_are_kept(client: Client, finish: Callable[..., Job]) -> None:
    job = finish("last-words", retries=0)
    with client.db.read() as session:
        lines = {row.stream: row.text for row in queries.logs_of(session, job.id)}
    assert lines == {"stdout": "the last line", "stderr": "and on stderr"}


def test_a_flood_of_lines_arrives_whole_and_in_order(
    client: Client, finish: Callable[..., Job]
) -> None:
    job = finish("flood", lines=5000)
    assert client.job(job.id).logs() == [f"line {number}" for number in range(5000)]


def test_a_time_limit_ends_the_job(finish: Callable[..., Job]) -> None:
    job = finish("hang", time_limit=0.5)
    assert (job.state, job.reason) == ("failed", "timeout")
    assert job.error == "the time limit of 0.5 s was reached"


@pytest.mark.parametrize("how", ["deaf", "child"])
def test_cancel_ends_the_whole_process_tree(
    client: Client, start_worker: Callable[..., Worker], how: str
) -> None:
    start_worker()
    handle = client.submit("misbehave", how=how)
    said = eventually(handle.logs, what="the job to speak")[0]
    pid = eventually(lambda: attempts(client, handle)[0].pid)
    handle.cancel()
    job = handle.wait(10, check=False)
    assert job.state == "cancelled"
    assert not psutil.pid_exists(pid)
    if how == "child":
        child = int(re.findall(r"\d+", said)[0])
        eventually(lambda: not psutil.pid_exists(child), what="the job's own child to end")


def test_a_drained_worker_gives_its_job_back_and_another_finishes_it(
    client: Client, start_worker: Callable[..., Worker]
) -> None:
    first = start_worker()
    handle = client.submit("misbehave", how="hang", retries=0)
    eventually(lambda: handle.refresh().progress)
    assert first.stop() == 0
    job = handle.refresh()
    assert (job.state, job.reason) == ("queued", "preempted")
    start_worker()
    eventually(lambda: handle.refresh().attempt == 2, what="a second attempt")
    handle.cancel()
    handle.wait(10, check=False)


def test_a_killed_workers_job_dies_with_it_and_runs_elsewhere(
    client: Client, start_worker: Callable[..., Worker]
) -> None:
    first = start_worker("--lease", "2")
    handle = client.submit("misbehave", how="hang")
    eventually(lambda: handle.refresh().progress)
    pid = attempts(client, handle)[0].pid
    first.stop(signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(pid), what="the job's process to end")
    start_worker("--lease", "2")
    eventually(lambda: handle.refresh().attempt == 2, what="a second attempt")
    assert attempts(client, handle)[0].reason == "worker-lost"
    handle.cancel()
    handle.wait(10, check=False)


def test_a_frozen_worker_loses_its_job_and_stops_when_it_wakes(
    client: Client, start_worker: Callable[..., Worker]
) -> None:
    frozen = start_worker("--lease", "2")
    handle = client.submit("misbehave", how="hang")
    eventually(lambda: handle.refresh().progress)
    pid = eventually(lambda: attempts(client, handle)[0].pid)
    os.kill(frozen.process.pid, signal.SIGSTOP)
    start_worker("--lease", "2")
    eventually(lambda: handle.refresh().attempt == 2, what="another worker to take the job")
    assert not psutil.pid_exists(pid), "the process outlived its lease"
    os.kill(frozen.process.pid, signal.SIGCONT)
    eventually(lambda: "no longer the running one" in frozen.log.read_text())
    handle.cancel()
    assert handle.wait(10, check=False).attempt == 2


def test_jobs_outlive_a_redis_that_loses_everything(
    client: Client, start_worker: Callable[..., Worker]
) -> None:
    start_worker()
    first = client.submit("misbehave", how="hang")
    eventually(lambda: first.refresh().progress)
    waiting = [client.submit("selftest", steps=1) for _ in range(3)]
    client.broker.connect().flushall()
    first.cancel()
    assert [handle.wait(20).state for handle in waiting] == ["succeeded"] * 3
