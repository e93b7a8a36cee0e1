"""Small jobs on a warm process: answered together, each with an end of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import select
from steps import ended
from warm_kinds import CRASHES, DRAWS, FAULTY, HANGS, NO_NUMBER, PASSES

from conftest import TESTS, Worker
from cvq import Client, Settings
from cvq import tables as t
from cvq.batch_handle import BatchHandle
from cvq.errors import BrokerError, JobFailedError, UsageError, WaitTimeoutError
from cvq.records import Job
from waiting import eventually

Start = Callable[..., Worker]


@pytest.fixture
def told(tmp_path: Path) -> Path:
    return tmp_path / "told"


@pytest.fixture
def submit(
    client: Client, told: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., BatchHandle]:
    """Submit a job for each number, as one batch."""
    monkeypatch.syspath_prepend(TESTS)
    monkeypatch.setattr(client, "settings", Settings.load(kinds=["warm_kinds"]))

    def start(*numbers: float, **given: Any) -> BatchHandle:
        values = {"log": str(told), "cache": False, **given}
        return client.submit_many("double", [[number] for number in numbers], **values)

    return start


@pytest.fixture
def start(start_worker: Start, submit: Callable[..., BatchHandle]) -> Start:
    return lambda *words, **more: start_worker(*words, **{"CVQ_KINDS": "warm_kinds", **more})


def values(jobs: list[Job]) -> list[Any]:
    return [job.result["value"] if job.result else job.reason for job in jobs]


def micro_batches(client: Client) -> list[tuple[int, int]]:
    a = t.attempts.c
    with client.db.read() as connection:
        rows = connection.execute(select(a.job_id, a.micro_batch_size).order_by(a.job_id)).all()
    return [(row[0], row[1]) for row in rows]


def test_small_jobs_are_answered_together_by_one_process(
    client: Client, start: Start, submit: Callable[..., BatchHandle], told: Path
) -> None:
    batch = submit(*range(20))
    start("--slots", "1")
    jobs = ended(client, batch)
    assert values(jobs) == [2 * n for n in range(20)]
    assert len({job.result["pid"] for job in jobs}) == 1
    again = ended(client, submit(*range(5)))
    assert {job.result["pid"] for job in again} == {jobs[0].result["pid"]}
    assert told.read_text().split("\n").count("load") == 1
    assert told.read_text().count("forward") == 2
    assert micro_batches(client)[0] == (1, 20)
    assert client.job(1).attempt == 1


def test_each_ends_for_itself(
    client: Client, start: Start, submit: Callable[..., BatchHandle], told: Path
) -> None:
    start("--slots", "1")
    batch = submit(1, NO_NUMBER, 2, FAULTY, 3, CRASHES, DRAWS, 4, PASSES, 5, retries=0)
    jobs = ended(client, batch)
    assert values(jobs) == [
        2.0, "error", 4.0, "error", 6.0, "signal:SEGV", 2 * DRAWS, 8.0, "error", 10.0
    ]  # fmt: skip
    assert jobs[1].error == "this is no number"
    assert "it cannot be doubled" in (jobs[3].error or "")
    [file] = client.artifacts_of(jobs[6].id)
    assert (file.name, file.bytes) == ("drawn.txt", 5)
    assert {job.attempt for job in jobs} == {1}
    assert ended(client, submit(7))[0].result["value"] == 14.0


def test_one_crash_among_many_is_found_by_halving(
    client: Client, start: Start, submit: Callable[..., BatchHandle], told: Path
) -> None:
    start("--slots", "1")
    numbers = [float(n) for n in range(64)]
    numbers[41] = CRASHES
    jobs = ended(client, submit(*numbers, retries=0))
    assert [job.id for job in jobs if job.state == "failed"] == [jobs[41].id]
    assert told.read_text().count("forward") <= 2 * 6 + 1


def test_a_poison_is_found_in_few_forwards(
    client: Client, start: Start, submit: Callable[..., BatchHandle], told: Path
) -> None:
    start("--slots", "1")
    numbers = [float(n) for n in range(256)]
    numbers[200] = FAULTY
    jobs = ended(client, submit(*numbers))
    assert [job.id for job in jobs if job.state == "failed"] == [jobs[200].id]
    assert told.read_text().count("forward") <= 17


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_is_struck_costs_no_job_anything(
    client: Client, start: Start, submit: Callable[..., BatchHandle], told: Path, number: int
) -> None:
    start("--slots", "1", "--lease", "3")
    first = ended(client, submit(1))[0].result["pid"]
    batch = submit(*range(8), HANGS, time_limit=2.0, retries=0)
    eventually(lambda: told.read_text().count("forward") > 1)
    os.kill(first, number)
    jobs = ended(client, batch)
    assert values(jobs) == [*(2 * n for n in range(8)), "timeout"]
    assert {job.attempt for job in jobs} == {1}
    assert first not in {job.result["pid"] for job in jobs[:8]}
    eventually(lambda: not psutil.pid_exists(first))


def test_one_is_cancelled_and_the_others_are_answered(
    client: Client, start: Start, submit: Callable[..., BatchHandle], told: Path
) -> None:
    start("--slots", "1")
    batch = submit(1, HANGS, 2)
    eventually(lambda: told.exists() and "forward" in told.read_text())
    client.cancel(2)
    eventually(lambda: client.job(2).state == "running" and client.job(2).cancel_requested)
    client.cancel(3)
    client.cancel(1)
    jobs = ended(client, batch)
    assert [job.state for job in jobs] == ["cancelled"] * 3
    assert values(ended(client, submit(6))) == [12.0]


def test_others_do_not_wait_for_one_that_hangs_and_was_cancelled(
    client: Client, start: Start, submit: Callable[..., BatchHandle], told: Path
) -> None:
    start("--slots", "1", CVQ_GRACE="0.5")
    batch = submit(1, HANGS, 2)
    eventually(lambda: told.exists() and "forward" in told.read_text())
    client.cancel(2)
    jobs = ended(client, batch)
    assert [job.state for job in jobs] == ["succeeded", "cancelled", "succeeded"]
    assert {job.attempt for job in jobs} == {1}


def test_an_answer_is_stored_although_another_hangs(
    client: Client, start: Start, submit: Callable[..., BatchHandle], told: Path
) -> None:
    start("--slots", "1")
    batch = client.submit_many("double", [[1.0, 2.0], [HANGS]], log=str(told))
    first, hangs = (job.id for job in batch.jobs)
    eventually(lambda: client.job(first).state == "succeeded")
    assert client.job(hangs).state == "running"
    batch.cancel()
    assert [job.state for job in ended(client, batch)] == ["succeeded", "cancelled"]


def test_a_worker_that_leaves_gives_its_jobs_back(
    client: Client, start: Start, submit: Callable[..., BatchHandle], told: Path
) -> None:
    worker = start("--slots", "1", CVQ_GRACE="1")
    batch = submit(1, HANGS, 2)
    eventually(lambda: told.exists() and "forward" in told.read_text())
    assert worker.stop() == 0
    assert {job.state for job in client.jobs()} == {"queued"}
    batch.cancel()
    assert {job.state for job in ended(client, batch)} == {"cancelled"}


def test_a_killed_workers_jobs_are_answered_elsewhere(
    client: Client, start: Start, submit: Callable[..., BatchHandle], told: Path
) -> None:
    worker = start("--slots", "1", "--lease", "2")
    pid = ended(client, submit(1))[0].result["pid"]
    batch = submit(*range(4), HANGS, time_limit=3.0, retries=1)
    eventually(lambda: told.read_text().count("forward") > 1)
    worker.stop(signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(pid))
    start("--slots", "1", "--lease", "2")
    jobs = ended(client, batch)
    assert values(jobs) == [*(2 * n for n in range(4)), "timeout"]
    assert {job.attempt for job in jobs} == {2}


def test_a_job_without_a_batch_key_has_a_process_of_its_own(
    client: Client, start: Start, submit: Callable[..., BatchHandle]
) -> None:
    batch = submit(3, 4)
    with client.db.write() as connection:
        connection.execute(t.jobs.update().values(batch_key=None))
    start("--slots", "1")
    jobs = ended(client, batch)
    assert values(jobs) == [6.0, 8.0]
    assert [job.result["alone"] for job in jobs] == [True, True]


def test_a_lone_job_waits_for_nobody(
    client: Client, start: Start, submit: Callable[..., BatchHandle]
) -> None:
    start("--slots", "1")
    assert values(ended(client, submit(21))) == [42.0]
    assert micro_batches(client) == [(1, 1)]


def test_a_process_is_replaced_when_its_time_is_up(
    client: Client, start: Start, submit: Callable[..., BatchHandle]
) -> None:
    start("--slots", "1", CVQ_WARM_HOURS="1e-9")
    first, second = (ended(client, submit(n))[0].result["pid"] for n in (1, 2))
    assert first != second


def test_one_item_is_answered_at_once(
    client: Client, start: Start, submit: Callable[..., BatchHandle], told: Path
) -> None:
    start("--slots", "1")
    answers = [client.infer("double", [number], log=str(told)) for number in (3.0, 4.0)]
    assert [answer["value"] for answer in answers] == [6.0, 8.0]
    assert answers[0]["pid"] == answers[1]["pid"]
    assert [job.state for job in client.jobs()] == ["succeeded"] * 2
    with pytest.raises(JobFailedError, match="this is no number"):
        client.infer("double", [NO_NUMBER], log=str(told))


def test_who_asks_is_answered_although_redis_says_nothing(
    client: Client, start: Start, submit: Callable[..., BatchHandle], told: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    start("--slots", "1")

    def refuse(*_: object) -> None:
        raise BrokerError("gone")

    monkeypatch.setattr(client.broker, "subscribe", refuse)
    assert client.infer("double", [3.0], log=str(told))["value"] == 6.0


def test_who_asks_gives_up_in_time_and_the_job_goes_on(
    client: Client, submit: Callable[..., BatchHandle], told: Path
) -> None:
    with pytest.raises(WaitTimeoutError):
        client.infer("double", [3.0], log=str(told), timeout=0.05)
    assert client.job(1).state == "queued"
    with pytest.raises(UsageError, match="submit them"):
        client.infer("selftest", 3)


def test_a_process_that_died_while_nothing_was_to_do_costs_the_next_job_nothing(
    client: Client, start: Start, submit: Callable[..., BatchHandle]
) -> None:
    start("--slots", "1")
    pid = ended(client, submit(1))[0].result["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(pid))
    [job] = ended(client, submit(2))
    assert (job.state, job.attempt) == ("succeeded", 1)


def test_what_was_drawn_before_a_crash_is_kept(
    client: Client, start: Start, submit: Callable[..., BatchHandle]
) -> None:
    start("--slots", "1")
    jobs = ended(client, submit(DRAWS, CRASHES, DRAWS, retries=0))
    assert [job.state for job in jobs] == ["succeeded", "failed", "succeeded"]
    assert [[file.name for file in client.artifacts_of(job.id)] for job in jobs] == [
        ["drawn.txt"], [], ["drawn.txt"]
    ]  # fmt: skip
