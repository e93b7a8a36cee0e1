"""`run`, `worker`, `up`, `down` with real worker processes; `db`, `kinds`, `samples`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import update

from cvq import Client, queries
from cvq import tables as t
from cvq.broker.embedded import redis_answers
from cvq.devices import Gpu
from cvq.errors import DatabaseAwayError
from cvq.files import lock
from cvq.records import Worker
from cvq_cli import processes
from cvq_cli.commands import up
from cvq_cli.saving import copy_results
from waiting import HANG_S, eventually

from .conftest import Cli, FakeWorker


@pytest.fixture(autouse=True)
def _light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVQ_PRELOAD", "")  # these jobs need no PyTorch
    monkeypatch.setenv("CVQ_GRACE", "2")


@pytest.fixture
def machine(client: Client) -> Iterator[Client]:
    """A client on a machine whose workers are gone after the test."""
    yield client
    for _, process in processes.local_workers(client):
        if process is not None:
            process.kill()
            process.wait(timeout=HANG_S)


def alive(client: Client) -> list[int]:
    return [process.pid for _, process in processes.local_workers(client) if process]


def test_a_process_that_its_parent_does_not_wait_for_has_ended_all_the_same() -> None:
    start = "import subprocess; child = subprocess.Popen(['sleep', '1000'])"
    code = f"{start}; print(child.pid, flush=True); input(); child.kill(); child.wait()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        killed = processes.stop([child], HANG_S)
        assert child.status() == psutil.STATUS_ZOMBIE
        parent.communicate(b"\n")
    assert killed == []


def test_run_starts_a_worker_copies_the_result_and_leaves_nothing_behind(
    shell: Cli, machine: Client, tmp_path: Path
) -> None:
    target = tmp_path / "out.txt"
    said = shell("run", "selftest", "--steps", 3, "--pause", 0, "-o", target)
    job = machine.job(1)
    assert job.state == "succeeded"
    assert job.queue == machine.settings.host_queue
    assert said.out.strip() == str(machine.artifacts.local_path(job.artifacts[-1].uri))
    assert f" to {target}\n" in said.err
    assert target.read_bytes() == Path(said.out.strip()).read_bytes()
    with machine.db.read() as connection:
        assert [row.state for row in queries.workers(connection, also_gone=True)] == ["gone"]


def test_run_makes_the_folder_that_it_is_given(
    shell: Cli, machine: Client, tmp_path: Path
) -> None:
    folder = tmp_path / "made" / "here"
    shell("run", "selftest", "--steps", 1, "--pause", 0, "-o", f"{folder}/")
    assert [path.name for path in folder.iterdir()] == [machine.job(1).artifacts[-1].name]


def test_several_results_go_into_a_folder_or_are_numbered(
    client: Client, worker: FakeWorker, tmp_path: Path
) -> None:
    handle = client.submit("selftest")
    job = worker.claim()
    for name in ("samples.txt", "walks.txt"):
        worker.artifact(job, name, name.encode())
    worker.finish(job, "succeeded")
    copy_results(client, handle, tmp_path / "both")
    copy_results(client, handle, tmp_path / "one.txt")
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.txt")}
    assert found >= {"both/samples.txt", "both/walks.txt", "one.txt", "one-2.txt"}


def test_a_copy_has_a_true_ending_and_overwrites_nothing(
    client: Client, worker: FakeWorker, tmp_path: Path
) -> None:
    handle = client.submit("selftest")
    job = worker.claim()
    for name in ("loss.png", "model.safetensors", "card.md"):
        worker.artifact(job, name, name.encode(), role="plot")
    worker.finish(job, "succeeded")
    (tmp_path / "loss.png").write_text("somebody's")
    copy_results(client, handle, tmp_path / "my.safetensors")
    copy_results(client, handle, tmp_path / "other.gif")
    copy_results(client, handle, tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()} == {
        "loss.png": "somebody's", "loss-2.png": "loss.png", "my.safetensors": "model.safetensors",
        "model.safetensors": "model.safetensors", "card.md": "card.md", "other.png": "loss.png",
        "other.safetensors": "model.safetensors", "other.md": "card.md",
    }  # fmt: skip
    copy_results(client, handle, tmp_path, force=True)
    assert (tmp_path / "loss.png").read_text() == "loss.png"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["style-transfer", "{pictures}", "-o", "x.gif"],
            "writes .png, .jpeg or .jpg",
        ),
        (["style-transfer", "{pictures}", "-o", "x.jpg", "--format", "png"], "png writes .png"),
        (["selftest", "-o", "x.png"], "selftest writes .txt"),
        (["selftest", "-o", "there.txt"], "there.txt exists: --force overwrites it"),
    ],
)
def test_what_could_not_be_kept_is_refused_before_anything_is_queued(
    run: Cli, pictures: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    words: list[str], said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("there.txt").write_text("somebody's")
    given = [word for part in words for word in (pictures if part == "{pictures}" else [part])]
    assert said in run("run", *given, code=2).err
    assert run("ls", "-q").out == ""
    assert run("run", "selftest", "-o", "there.txt", "--force", "--dry-run").code == 0


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_run_terminated_cancels_the_job_and_stops_the_worker(
    machine: Client, number: int, code: int
) -> None:
    words = ["run", "selftest", "--steps", "1000", "--pause", "0.1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "cvq_cli", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    eventually(lambda: [job for job in machine.jobs() if job.state == "running"])
    process.send_signal(number)
    _, error = process.communicate(timeout=HANG_S)
    assert process.returncode == code, error
    assert b"Traceback" not in error
    assert machine.job(1).state == "cancelled"
    assert alive(machine) == []


def test_run_says_why_its_worker_stopped_and_cancels_the_job(
    run: Cli, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "import sys; sys.exit('cvq: error: style-transfer needs more packages')"
    monkeypatch.setattr(processes, "command", lambda _: [sys.executable, "-c", script])
    said = run("run", "selftest", code=4)
    assert said.err.endswith(
        "cvq: error: the worker stopped: style-transfer needs more packages\n"
    )
    assert client.job(1).state == "cancelled"


def test_run_checks_the_target_first(run: Cli, tmp_path: Path) -> None:
    said = run("run", "selftest", "-o", tmp_path / "no" / "out.txt", code=2)
    assert "does not exist" in said.err
    assert run("ls", "-q").out == ""


def test_run_takes_the_format_from_the_target(
    run: Cli, pictures: tuple[Path, Path], tmp_path: Path
) -> None:
    words = ["run", "style-transfer", *pictures, "--dry-run"]
    assert run(*words, "-o", tmp_path / "x.jpg").json["format"] == "jpeg"
    assert run(*words, "-o", tmp_path).json["format"] == "png"
    assert run(*words, "-o", tmp_path / "x.PNG", "--format", "png").json["format"] == "png"


def test_run_uses_the_worker_that_is_up(
    run: Cli, worker: FakeWorker, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.arrive(client.settings.host_queue)
    monkeypatch.setattr(processes, "start", None)
    said = run("run", "selftest", "--timeout", "0.1", code=124)
    assert "was not done after 0.1s and was cancelled" in said.err
    assert client.job(1).state == "cancelled"


_HELLO = """
from cvq import Kind, Spec


class Hello(Spec):
    "Greet."


def run(spec, ctx):
    with ctx.artifact("hello.txt") as path:
        path.write_text("hello")
    return {}


KIND = Kind("hello", Hello, "hello:run", "Greet.")
"""


@pytest.fixture
def hello(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who has a kind that no worker knows that is up."""
    (tmp_path / "hello.py").write_text(_HELLO)
    return {"CVQ_KINDS": "hello", "PYTHONPATH": str(tmp_path)}


def test_run_starts_a_worker_where_the_one_that_is_up_does_not_know_the_kind(
    shell: Cli, machine: Client, hello: dict[str, str]
) -> None:
    shell("up", "-d")
    [pid] = alive(machine)
    said = shell("run", "hello", "-q", **hello)
    assert Path(said.out.strip()).read_text() == "hello"
    assert said.err == ""
    assert alive(machine) == [pid]


@pytest.mark.slow
def test_run_starts_a_worker_where_the_able_one_leaves(
    machine: Client, worker: FakeWorker
) -> None:
    worker.arrive(machine.settings.host_queue, lease=600.0)
    command = cvq_run("--steps", 3)
    eventually(lambda: machine.jobs())
    assert command.poll() is None
    with machine.db.write() as connection:
        connection.execute(update(t.workers).values(kinds={"kinds": {}, "broken": {}}))
    assert command.communicate(timeout=HANG_S)[0]
    assert command.returncode == 0


def test_run_says_at_once_that_this_machine_cannot(shell: Cli, machine: Client) -> None:
    said = shell("run", "selftest", "--gpu", code=4, CUDA_VISIBLE_DEVICES="")
    assert said.err.endswith(
        "cvq: error: job 1 cannot run on this machine, whose worker has no GPU: start a worker on "
        "a machine with a GPU\n"
    )
    assert machine.job(1).state == "cancelled"
    assert alive(machine) == []


def test_run_says_that_it_waits_behind_others(
    run: Cli, worker: FakeWorker, client: Client
) -> None:
    worker.arrive(client.settings.host_queue)
    client.submit("selftest", queue=client.settings.host_queue)
    worker.claim(client.settings.host_queue)
    said = run("run", "selftest", "--timeout", "0.1", code=124)
    assert f"'{client.settings.host_queue}' is busy with job 1." in said.err


def test_up_scales_and_down_stops(shell: Cli, machine: Client, home: Path) -> None:
    assert shell("up", "-d", "--workers", 2).out == "2 workers are up on this machine\n"
    first = set(alive(machine))
    assert len(first) == 2
    assert (home / "logs/worker-2.log").exists()
    rows = json.loads(shell("up", "-d", "--workers", 2, "--json").out)
    assert {row["pid"] for row in rows} == first
    assert shell("up", "-d", "--workers", 1).out == "1 worker is up on this machine\n"
    assert len(alive(machine)) == 1
    assert set(alive(machine)) < first
    said = shell("down")
    assert said.out == "1 worker stopped, Redis stopped\n"
    assert alive(machine) == []
    assert shell("down").out == "0 workers stopped\n"


def test_drain_makes_real_workers_leave_and_puts_their_job_back(
    shell: Cli, machine: Client
) -> None:
    shell("up", "-d", "--workers", 2)
    shell("submit", "selftest", "--steps", 1000, "--pause", 0.1)
    eventually(lambda: machine.job(1).state == "running")
    said = shell("drain", machine.settings.host, "--wait", "--timeout", f"{HANG_S}s")
    assert said.out.endswith("2 workers have left\n")
    assert "; job 1 goes back to the queue\n" in said.out
    assert (machine.job(1).state, machine.job(1).reason) == ("queued", "preempted")
    eventually(lambda: alive(machine) == [])


@pytest.mark.slow
def test_up_in_the_foreground_stops_its_workers(machine: Client) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "cvq_cli", "up"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    eventually(lambda: alive(machine))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=HANG_S)
    assert process.returncode == 0
    assert alive(machine) == []


@pytest.mark.slow
def test_up_in_the_foreground_takes_its_workers_along_when_it_is_killed(machine: Client) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "cvq_cli", "up"], stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    eventually(lambda: alive(machine))
    handle = machine.submit("selftest", steps=100_000, pause=0.1)
    eventually(lambda: handle.refresh().state == "running")
    process.kill()
    process.wait(timeout=HANG_S)
    eventually(lambda: alive(machine) == [], what="the workers to leave")
    assert (handle.refresh().state, handle.refresh().reason) == ("queued", "preempted")


def test_a_signal_that_means_nothing_costs_no_worker(shell: Cli, machine: Client) -> None:
    shell("up", "-d")
    handle = machine.submit("selftest", steps=20)
    eventually(lambda: handle.refresh().state == "running")
    [(_, process)] = processes.local_workers(machine)
    assert process is not None
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM):
        process.send_signal(number)
    assert handle.wait(HANG_S).attempt == 1
    assert alive(machine) == [process.pid]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_nothing_is_imported_from_the_folder_where_a_worker_starts(
    run: Cli, machine: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    for name in ("six", "celery", "numpy", "pydantic", "cvq_workers", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the user was run')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CVQ_START_METHOD", method)
    run("run", "selftest", "--steps", 3, "--pause", 0)
    assert machine.job(1).state == "succeeded"


def test_two_workers_in_the_background_have_a_log_each(shell: Cli, machine: Client) -> None:
    said = shell("up", "-d", "-n", 2)
    assert said.out == "2 workers are up on this machine\n"
    assert len(alive(machine)) == 2
    logs = [machine.settings.home / "logs" / f"worker-{number}.log" for number in (1, 2)]
    assert all("is up: " in log.read_text() for log in logs)
    shell("up", "-d", "-n", 2)
    assert len(alive(machine)) == 2
    assert shell("up", "-d", "-n", 1).out == "1 worker is up on this machine\n"
    assert len(alive(machine)) == 1


@pytest.mark.slow
def test_up_says_that_it_waits_for_another(machine: Client) -> None:
    with lock(machine.settings.home / "up.lock"):
        process = subprocess.Popen(
            [sys.executable, "-m", "cvq_cli", "up", "-d"], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stderr is not None
        assert process.stderr.readline().startswith("another `cvq up` is starting workers here")
        assert alive(machine) == []
    assert process.communicate(timeout=HANG_S)[0].startswith("1 worker is up")


def test_a_database_away_while_workers_start_ends_none_of_them(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: Client) -> None:
        raise DatabaseAwayError("the server restarts")

    monkeypatch.setattr(processes, "local_workers", away)
    assert up._not_yet_up(client, [4711]) == [4711]


@pytest.mark.parametrize(
    "words",
    [
        "logs 1 --tail", "logs 1 --attempt", "watch 1 --tail", "ls -n", "metrics 1 --attempt",
        "up -n", "up --slots", "samples there --size", "submit selftest --retries",
        "submit selftest --priority", "submit selftest --steps", "data check digits --size",
    ],
)  # fmt: skip
def test_a_number_beyond_all_bounds_is_refused_in_cvqs_words(
    run: Cli, client: Client, words: str
) -> None:
    client.submit("selftest")
    said = run(*words.split(), "9" * 20, code=2).err
    assert said.startswith("cvq: error: ")
    assert not re.search("Python|SQLite|internal error", said)


def test_up_says_why_a_worker_stopped(
    run: Cli, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "import sys; print('start', flush=True); sys.exit('cvq: error: no torch here')"
    monkeypatch.setattr(processes, "command", lambda _: [sys.executable, "-c", script])
    said = run("up", "-d", code=4)
    assert said.err.endswith("cvq: error: a worker stopped: no torch here\n")


def test_gpus_are_shared_out() -> None:
    gpus = [Gpu(str(number), f"GPU-{number}") for number in range(3)]
    assert up._given(gpus[:2], 3) == [gpus[0], gpus[1], None]
    assert up._given(gpus, 0) == []
    assert up._devices(None, []) == []
    assert up._devices(None, gpus) == ["--gpus", "none"]
    assert up._devices(gpus[2], gpus) == ["--gpus", "GPU-2"]


def test_down_stops_redis_where_the_database_is_damaged(run: Cli, home: Path) -> None:
    run("submit", "selftest")
    assert redis_answers(home)
    (home / "cvq.db").write_bytes(b"no database" * 500)
    for beside in ("cvq.db-wal", "cvq.db-shm"):
        (home / beside).unlink(missing_ok=True)
    assert "file is not a database" in run("down", code=4).err
    assert not redis_answers(home)


def test_down_never_touches_a_process_that_is_not_a_worker(
    run: Cli, client: Client, worker: FakeWorker
) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100_000)"])
    try:
        worker.arrive(pid=bystander.pid)
        assert run("down").out.startswith("0 workers stopped")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    with client.db.read() as connection:
        assert queries.workers(connection) == []


@pytest.mark.slow
def test_worker_takes_the_place_of_the_command(machine: Client) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "cvq_cli", "worker", "--slots", "2", "--queues", "a,b", "--burst"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        eventually(lambda: _row_of(machine, process.pid))
        row = _row_of(machine, process.pid)
        assert row is not None
        assert (row.slots, sorted(row.queues)) == (2, ["a", "b"])
    finally:
        process.terminate()
        process.wait(timeout=HANG_S)


def _row_of(client: Client, pid: int) -> Worker | None:
    with client.db.read() as connection:
        rows = queries.workers(connection, also_gone=True)
    return next((row for row in rows if row.pid == pid), None)


def test_db(run: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVQ_HOME", str(tmp_path))
    assert run("db", "current").out == "none\n"
    assert not (tmp_path / "cvq.db").exists()
    assert "run `cvq db upgrade`" in run("db", "check", code=4).err
    assert "upgraded from nothing to schema" in run("db", "upgrade").out
    assert "already" in run("db", "upgrade").out
    assert run("db", "current", "--json").json["current"] == run("db", "current").out.strip()
    assert "as needed" in run("db", "check").out


def test_a_newer_schema_is_refused(run: Cli, client: Client) -> None:
    with client.db.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for words in (["ls"], ["db", "check"], ["db", "upgrade"], ["submit", "selftest"]):
        said = run(*words, code=4)
        assert "newer than this cvq's" in said.err
        assert said.err.count("\n") == 1


def test_kinds(run: Cli) -> None:
    names = run("kinds", "-q").out.split()
    assert names == sorted(names)
    assert {"selftest", "style-transfer", "fmnist-cnn", "classify", "colorize"} <= set(names)
    assert run("kinds", "style-transfer", "--json").json["schema"]["properties"]["size"]
    assert "64 to 4096" in run("kinds", "style-transfer").out
    assert "did you mean 'selftest'?" in run("kinds", "selftset", code=2).err


@pytest.mark.slow
def test_samples(run: Cli, tmp_path: Path) -> None:
    said = run("samples", tmp_path / "p", "--size", 64)
    assert f"{tmp_path}/p/content.jpg\n{tmp_path}/p/style.jpg\n" in said.out
    assert all(Path(line).exists() for line in said.out.splitlines())
    assert "already exists" in run("samples", tmp_path / "p", code=2).err
    assert run("samples", tmp_path / "p", "--size", 64, "--force", "--json").json["style"]


def test_a_number_that_is_another_processs_is_no_worker(
    client: Client, worker: FakeWorker
) -> None:
    worker.arrive(pid=os.getpid())
    [(row, process)] = processes.local_workers(client)
    assert (row.pid, process) == (os.getpid(), None)


def test_down_spares_who_looks_like_the_worker_whose_number_he_has(
    shell: Cli, machine: Client
) -> None:
    shell("up", "-d")
    [(_, process)] = processes.local_workers(machine)
    assert process is not None
    process.kill()
    process.wait(timeout=HANG_S)
    words = ["-c", "input()", "-m", processes.MODULE]
    stranger = subprocess.Popen([sys.executable, *words], stdin=subprocess.PIPE)
    with machine.db.write() as connection:
        connection.execute(
            update(t.workers).values(pid=stranger.pid, started_at=t.now(), seen_at=t.now())
        )
    assert shell("down").out.startswith("0 workers stopped")
    stranger.communicate(b"\n", timeout=HANG_S)
    assert stranger.returncode == 0


def test_down_finds_the_workers_of_a_machine_that_got_another_name(
    shell: Cli, machine: Client
) -> None:
    shell("up", "-d", CVQ_HOST="before")
    assert shell("down").out == "1 worker stopped, Redis stopped\n"
    assert alive(machine) == []


@pytest.mark.slow
def test_several_ups_at_once_start_as_many_as_one(machine: Client) -> None:
    command = [sys.executable, "-m", "cvq_cli", "up", "-d", "--workers", "2"]
    starts = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [start.wait(timeout=HANG_S) for start in starts] == [0, 0, 0]
    assert len(alive(machine)) == 2


def cvq_run(*words: object) -> subprocess.Popen[str]:
    """`cvq run selftest …`, going on."""
    command = [sys.executable, "-m", "cvq_cli", "run", "selftest", *map(str, words)]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_run_outlives_the_one_whose_worker_it_leans_on(machine: Client) -> None:
    first = cvq_run("--steps", 100_000)
    eventually(lambda: machine.jobs() and machine.job(1).state == "running")
    second = cvq_run("--steps", 3)
    eventually(lambda: len(machine.jobs()) == 2)
    first.send_signal(signal.SIGTERM)  # its job is cancelled
    first.communicate(timeout=HANG_S)
    assert second.communicate(timeout=HANG_S)[0]
    assert second.returncode == 0
    assert [machine.job(number).state for number in (1, 2)] == ["cancelled", "succeeded"]
    eventually(lambda: alive(machine) == [])


@pytest.mark.slow
def test_a_killed_run_leaves_no_worker_for_ever(machine: Client) -> None:
    command = cvq_run("--steps", 30)
    eventually(lambda: machine.jobs() and machine.job(1).state == "running")
    command.kill()
    command.communicate(timeout=HANG_S)
    assert machine.job(1).wait(HANG_S).state == "succeeded"
    eventually(lambda: alive(machine) == [], what="the temporary worker to leave")


def test_a_hang_up_is_a_good_order_to_leave(shell: Cli, machine: Client) -> None:
    shell("up", "-d")
    shell("submit", "selftest", "--steps", 1000, "--pause", 0.1)
    eventually(lambda: machine.job(1).state == "running")
    [(_, process)] = processes.local_workers(machine)
    assert process is not None
    process.send_signal(signal.SIGHUP)
    eventually(lambda: alive(machine) == [], what="the worker to leave")
    assert (machine.job(1).state, machine.job(1).reason) == ("queued", "preempted")


def test_two_databases_may_share_a_home(
    shell: Cli, machine: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a job 1, attempt 1."""
    shell("up", "-d")
    shell("submit", "selftest", "--steps", 60, "--pause", 0.1, "--retries", 0)
    eventually(lambda: machine.job(1).state == "running")
    other = f"sqlite:///{tmp_path}/other.db"
    shell("db", "upgrade", CVQ_DATABASE_URL=other)
    shell("submit", "selftest", "--steps", 3, CVQ_DATABASE_URL=other)
    shell("worker", "--burst", CVQ_DATABASE_URL=other)
    assert "succeeded" in shell("ls", "--csv", CVQ_DATABASE_URL=other).out
    assert machine.job(1).wait(HANG_S).state == "succeeded"
