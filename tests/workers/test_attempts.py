"""Real workers, real processes: how attempts end, and what the history then says."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import text, update

from conftest import Worker
from cvq import Client, JobHandle, queries
from cvq import tables as t
from cvq.broker.embedded import ensure_redis, stop_redis
from cvq.lifecycle import jobs, workers
from cvq.records import Job, NewJob
from cvq.states import Drain
from waiting import HANG_S, eventually


@pytest.fixture
def finish(client: Client, start_worker: Callable[..., Worker]) -> Callable[..., Job]:
    """Runs one job of the kind `misbehave` to its end."""
    start_worker()

    def run(how: str, **values: Any) -> Job:
        handle = client.submit("misbehave", how=how, **values)
        return handle.wait(HANG_S, check=False)

    return run


def attempts(client: Client, job: Job | JobHandle) -> list[Any]:
    with client.db.read() as connection:
        return list(queries.attempts_of(connection, job.id))


def test_every_death_has_its_cause_and_hurts_no_other_job(
    client: Client, finish: Callable[..., Job]
) -> None:
    expected = {
        "segv": "signal:SEGV",
        "killed": "signal:KILL",
        "exit": "exit:3",
        "raise": "error",
        "permanent": "error",
        "connection": "error",
        "memory": "oom",
        "cuda-oom": "cuda-oom",
        "no-file": "error",
    }
    told = {how: finish(how, retries=0) for how in expected}
    assert {how: job.reason for how, job in told.items()} == expected
    assert all(job.state == "failed" for job in told.values())
    assert told["raise"].error == "RuntimeError: it went wrong"
    assert told["permanent"].error == "this picture cannot be painted"
    [attempt] = attempts(client, told["raise"])
    assert "raise RuntimeError" in attempt.traceback
    [attempt] = attempts(client, told["killed"])
    assert attempt.last_lines == ["before the kill"]
    assert attempt.peak_memory > 1_000_000
    good = finish("flood")
    assert good.state == "succeeded"
    assert attempts(client, good)[0].peak_memory > 1_000_000


def test_nan_is_stored_as_nothing_and_told(client: Client, finish: Callable[..., Job]) -> None:
    job = finish("nan", retries=0)
    assert (job.state, job.metrics) == ("succeeded", {"loss": None, "good": 1.0})
    assert job.result == {"value": None}
    log = "\n".join(client.job(job.id).logs())
    assert "result.value is nan" in log
    assert log.count("metric loss is nan at step 1: nothing is stored there") == 1


def test_a_metric_that_is_no_number_is_named(finish: Callable[..., Job]) -> None:
    job = finish("python", code="ctx.metrics(3, good=1, loss=None)", retries=0)
    assert (job.state, job.metrics) == ("failed", {})
    assert str(job.error).startswith("metric loss at step 3 is no number: ")


def test_metrics_are_named_and_the_loss_is_taken_as_it_is(
    client: Client, finish: Callable[..., Job]
) -> None:
    code = (
        "import torch\n"
        "ctx.metrics(1, loss=torch.tensor(0.5, requires_grad=True), **{'é' * 101: 1})\n"
        "ctx.metrics(2, **{'é' * 101: 2})"
    )
    job = finish("python", code=code, retries=0)
    assert (job.state, job.metrics) == ("succeeded", {"loss": 0.5, "é" * 100: 2.0})
    log = "\n".join(client.job(job.id).logs())
    assert "UserWarning" not in log
    assert t.metrics.c.name.type.length == 100
    assert log.count("has a name of 101 characters: those after 100 are left out") == 1
    job = finish("python", code="ctx.metrics(3, **{' ': 1})", retries=0)
    assert (job.state, job.error) == ("failed", "a metric at step 3 has no name")


@pytest.mark.parametrize("how", ["raise", "permanent", "memory", "cuda-oom", "no-file"])
def test_what_would_fail_again_is_not_tried_again(finish: Callable[..., Job], how: str) -> None:
    assert (finish(how, retries=5).state, finish(how, retries=5).attempt) == ("failed", 1)


@pytest.mark.parametrize("how", ["connection", "temporary"])
def test_what_may_pass_is_tried_again(finish: Callable[..., Job], how: str) -> None:
    job = finish(how, retries=1)
    assert (job.reason, job.attempt) == ("attempts-exhausted", 2)


CGROUPS = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))


@pytest.fixture
def small_cgroup() -> Iterator[Path]:
    """A cgroup of 150 MB."""
    folder = next(root for root in CGROUPS if root.is_dir()) / f"cvq-test-{os.getpid()}"
    try:
        folder.mkdir()
        limit = folder / "memory.limit_in_bytes"
        (limit if limit.exists() else folder / "memory.max").write_text(str(150 << 20))
    except OSError as error:
        if folder.is_dir():
            folder.rmdir()
        pytest.skip(f"no right to make a cgroup: {error}")
    yield folder
    eventually(lambda: not (folder / "cgroup.procs").read_text())
    folder.rmdir()


def leased_until(client: Client, handle: JobHandle) -> datetime | None:
    with client.db.read() as connection:
        return queries.get_job(connection, handle.id).lease_until


def test_the_kernels_kill_for_want_of_memory_is_told_from_others(
    client: Client, start_worker: Callable[..., Worker], small_cgroup: Path, tmp_path: Path
) -> None:
    start_worker()
    gate = tmp_path / "gate"
    handle = client.submit(
        "misbehave", how="kernel-oom", cgroup=str(small_cgroup), gate=str(gate), retries=0
    )
    eventually(lambda: "moved" in handle.logs())
    # A worker looks where its job is with every renewal; the second was begun after the move.
    for _ in range(2):
        before = leased_until(client, handle)
        eventually(lambda before=before: leased_until(client, handle) != before)
    gate.touch()
    job = handle.wait(HANG_S, check=False)
    assert (job.state, job.reason) == ("failed", "oom")
    assert "the kernel killed" in str(job.error)
    assert attempts(client, job)[0].peak_memory > 50 << 20


def test_a_frozen_process_is_found_and_killed(
    client: Client, start_worker: Callable[..., Worker]
) -> None:
    start_worker("--lease", "5")
    handle = client.submit("misbehave", how="freeze", retries=0)
    job = handle.wait(HANG_S, check=False)
    assert (job.state, job.reason) == ("failed", "freeze")
    [attempt] = attempts(client, handle)
    assert attempt.last_lines == ["about to freeze"]
    assert not psutil.pid_exists(attempt.pid)


def test_everything_that_a_process_says_is_in_its_log(
    client: Client, finish: Callable[..., Job]
) -> None:
    lines = client.job(finish("chatter", retries=0).id).logs()
    assert any("UserWarning: a warning" in line for line in lines)
    assert {"INFO model: a log record", "a line from C", "a printed line"} <= set(lines)


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
    with client.db.read() as connection:
        lines = {row.stream: row.text for row in queries.logs_of(connection, job.id)}
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


def test_a_soft_time_limit_lets_the_job_save_itself(
    client: Client, start_worker: Callable[..., Worker]
) -> None:
    start_worker()
    handle = client.submit("misbehave", how="steps", lines=1000, soft_time_limit=0.5)
    job = handle.wait(HANG_S, check=False)
    assert (job.state, job.reason, job.attempt) == ("failed", "timeout", 1)
    assert job.error == "the soft time limit of 0.5 s was reached"
    with client.db.read() as connection:
        assert len(queries.checkpoints_of(connection, job.id)) == 1


def test_a_soft_time_limit_ends_in_a_hard_one_for_who_does_not_listen(
    client: Client, start_worker: Callable[..., Worker]
) -> None:
    start_worker()
    handle = client.submit("misbehave", how="deaf", soft_time_limit=0.3, time_limit=1)
    job = handle.wait(HANG_S, check=False)
    assert (job.state, job.reason) == ("failed", "timeout")


@pytest.mark.parametrize("how", ["deaf", "child", "daemon"])
def test_cancel_ends_the_whole_process_tree(
    client: Client, start_worker: Callable[..., Worker], how: str
) -> None:
    start_worker()
    handle = client.submit("misbehave", how=how)
    said = eventually(handle.logs, what="the job to speak")[0]
    pid = eventually(lambda: attempts(client, handle)[0].pid)
    handle.cancel()
    job = handle.wait(HANG_S, check=False)
    assert job.state == "cancelled"
    assert not psutil.pid_exists(pid)
    if how != "deaf":
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
    eventually(lambda: handle.refresh().attempt >= 2, what="a second attempt")
    handle.cancel()
    handle.wait(HANG_S, check=False)


def test_a_second_signal_stops_a_worker_at_once(
    client: Client, start_worker: Callable[..., Worker]
) -> None:
    worker = start_worker(CVQ_GRACE="600")
    handle = client.submit("misbehave", how="deaf", retries=0)
    eventually(handle.logs)
    worker.process.terminate()

    def state() -> str:
        with client.db.read() as connection:
            return str(queries.workers(connection)[0].state)

    eventually(lambda: state() == "draining")
    assert worker.stop() == 0
    assert (handle.refresh().state, handle.refresh().reason) == ("queued", "preempted")


def test_a_worker_asked_to_finish_ends_its_job_first(
    client: Client, start_worker: Callable[..., Worker]
) -> None:
    worker = start_worker()
    running = client.submit("selftest", steps=30, pause=0.05)
    eventually(lambda: running.refresh().progress)
    with client.db.write() as connection:
        workers.ask_to_drain(connection, worker.row.id, Drain.FINISH)
    waiting = client.submit("selftest", steps=1)
    assert worker.process.wait(HANG_S) == 0
    assert running.refresh().state == "succeeded"
    assert waiting.refresh().state == "queued"


def test_a_clock_that_jumps_ahead_costs_no_living_worker_its_job(
    client: Client, start_worker: Callable[..., Worker]
) -> None:
    # To the database a lease that ended an hour ago and a clock an hour ahead are the same.
    start_worker()
    start_worker()
    handle = client.submit("selftest", steps=60, pause=0.05)
    eventually(lambda: handle.refresh().progress)
    for _ in range(5):
        with client.db.write() as connection:
            connection.execute(
                update(t.jobs)
                .where(t.jobs.c.id == handle.id)
                .values(lease_until=datetime.now(UTC) - timedelta(hours=1))
            )
        eventually(lambda: handle.refresh().lease_until > datetime.now(UTC))
    assert handle.wait(HANG_S).attempt == 1


def test_a_killed_workers_job_dies_with_it_and_runs_elsewhere(
    client: Client, start_worker: Callable[..., Worker]
) -> None:
    first = start_worker("--lease", "5")
    handle = client.submit("misbehave", how="hang")
    eventually(lambda: handle.refresh().progress)
    pid = attempts(client, handle)[0].pid
    first.stop(signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(pid), what="the job's process to end")
    start_worker("--lease", "5")
    eventually(lambda: handle.refresh().attempt >= 2, what="a second attempt")
    assert attempts(client, handle)[0].reason == "worker-lost"
    handle.cancel()
    handle.wait(HANG_S, check=False)


def test_a_frozen_worker_loses_its_job_and_stops_when_it_wakes(
    client: Client, start_worker: Callable[..., Worker]
) -> None:
    frozen = start_worker("--lease", "5")
    handle = client.submit("misbehave", how="hang")
    eventually(lambda: handle.refresh().progress)
    pid = eventually(lambda: attempts(client, handle)[0].pid)
    os.kill(frozen.process.pid, signal.SIGSTOP)
    start_worker("--lease", "5")
    eventually(lambda: handle.refresh().attempt >= 2, what="another worker to take the job")
    eventually(lambda: not psutil.pid_exists(pid), what="the process to end with its lease")
    os.kill(frozen.process.pid, signal.SIGCONT)
    eventually(lambda: "no longer the running one" in frozen.log.read_text())
    handle.cancel()
    assert handle.wait(HANG_S, check=False).attempt >= 2


@pytest.mark.skipif(sys.platform != "linux", reason="a fork server is Linux's")
def test_a_worker_whose_start_folder_is_gone_runs_its_jobs(
    client: Client,
    start_worker: Callable[..., Worker],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    worker = start_worker()
    monkeypatch.undo()
    gone.rmdir()
    [server] = psutil.Process(worker.process.pid).children()
    server.kill()
    assert client.submit("selftest", retries=0).wait(HANG_S).state == "succeeded"


def test_a_frozen_fork_server_holds_up_no_job_for_ever(
    client: Client, start_worker: Callable[..., Worker]
) -> None:
    worker = start_worker()
    client.submit("selftest", steps=1, pause=0).wait(HANG_S)
    [server] = [
        process
        for process in psutil.Process(worker.process.pid).children()
        if "cvq_workers.launch.server" in process.cmdline()
    ]
    server.suspend()
    stuck = client.submit("selftest", steps=1, time_limit=0.5)
    assert stuck.wait(HANG_S, check=False).reason == "timeout"
    assert client.submit("selftest", steps=1, pause=0).wait(HANG_S).attempt == 1
    assert not server.is_running()


def test_a_frozen_redis_holds_up_no_work(
    client: Client, start_worker: Callable[..., Worker]
) -> None:
    start_worker()
    frozen = psutil.Process(client.broker.connect().info("server")["process_id"])
    frozen.suspend()
    with client.db.write() as connection:
        spec = client.check("selftest", steps=1).model_dump(mode="json")
        job_id = jobs.submit(connection, NewJob("selftest", spec, "0" * 64, "ann"))
    assert client.job(job_id).wait(HANG_S).state == "succeeded"
    eventually(lambda: not frozen.is_running(), what="the frozen server to be replaced")


def test_a_frozen_redis_keeps_no_worker_from_leaving(
    client: Client, start_worker: Callable[..., Worker]
) -> None:
    """A server of somebody else's, which no worker may replace."""
    elsewhere = Path(tempfile.mkdtemp(prefix="cvq-redis-"))
    socket = ensure_redis(elsewhere)
    worker = start_worker(CVQ_BROKER_URL=f"unix://{socket}")
    handle = client.submit("misbehave", how="hang", retries=0)
    eventually(lambda: handle.refresh().progress)
    server = psutil.Process(int((elsewhere / "redis.pid").read_text()))
    server.suspend()
    assert worker.stop(signal.SIGTERM) == 0
    assert (handle.refresh().state, handle.job.reason) == ("queued", "preempted")
    server.resume()
    assert stop_redis(elsewhere)
    shutil.rmtree(elsewhere)


def test_a_claim_that_waited_for_longer_than_its_lease_gets_a_whole_one(
    client: Client, start_worker: Callable[..., Worker]
) -> None:
    start_worker("--lease", "5")
    client.submit("selftest", steps=1, pause=0).wait(HANG_S)

    def silent() -> bool:
        with client.db.read() as connection:
            return not queries.workers(connection)[0].alive

    spec = client.check("selftest", steps=5).model_dump(mode="json")
    with client.db.write() as connection:  # nobody else can write meanwhile
        job_id = jobs.submit(connection, NewJob("selftest", spec, "0" * 64, "ann"))
        client.broker.notify("default")
        eventually(silent)
    job = client.job(job_id).wait(HANG_S)
    assert (job.state, job.attempt) == ("succeeded", 1)


@pytest.mark.slow
def test_a_worker_that_cannot_start_says_so_with_its_exit_code(client: Client) -> None:
    with client.db.write() as connection:
        connection.execute(text("DROP TABLE workers"))
    done = subprocess.run(
        [sys.executable, "-m", "cvq_workers"],
        env=os.environ | {"CVQ_PRELOAD": ""},
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.returncode == 4
    assert "no such table" in done.stdout + done.stderr


def test_jobs_outlive_a_redis_that_loses_everything(
    client: Client, start_worker: Callable[..., Worker]
) -> None:
    start_worker()
    first = client.submit("misbehave", how="hang")
    eventually(lambda: first.refresh().progress)
    waiting = [client.submit("selftest", steps=1) for _ in range(3)]
    client.broker.connect().flushall()
    first.cancel()
    assert [handle.wait(HANG_S).state for handle in waiting] == ["succeeded"] * 3
