"""Real job processes that do what they may not: daemons, forks, closed sockets, floods, secrets.

A healthy job beside them must notice nothing, and each ends under its real reason.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from conftest import HANG_S, TESTS, Worker, close, eventually
from cvq import Client, JobHandle, Settings, queries
from cvq.broker.embedded import stop_redis
from cvq.records import Job
from cvq_workers.protocol import Preload, encode

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux")
both_ways = pytest.mark.parametrize("method", ["fork", "spawn"])

DAEMON = """
import subprocess, time
print('child', subprocess.Popen(['sleep', '1000'], start_new_session=True).pid, flush=True)
"""
COUNT = """
import time
for step in range(200):
    time.sleep(.02); ctx.progress(step, 200)
r = {'ok': 1}
"""


@pytest.fixture
def run(client: Client, start_worker: Callable[..., Worker]) -> Callable[..., Job]:
    """Runs code as a job to its end, on a worker with two slots and a short lease."""
    start_worker("--slots", "2", "--lease", "5")

    def run(code: str, **values: Any) -> Job:
        return submit(client, code, **values).wait(HANG_S, check=False)

    return run


def submit(client: Client, code: str, **values: Any) -> JobHandle:
    return client.submit("misbehave", how="python", code=code, **values)


def said(handle: JobHandle, word: str = "child") -> list[int]:
    """The numbers that a job has printed behind a word."""
    found = re.findall(rf"^{word} (\d+)", "\n".join(handle.logs()), re.M)
    return [int(number) for number in found]


def is_alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def fork_server(worker: Worker) -> psutil.Process:
    [server] = [
        process
        for process in psutil.Process(worker.process.pid).children()
        if "cvq_workers.launch.server" in process.cmdline()
    ]
    return server


def test_a_fork_server_says_nothing_when_its_worker_goes_before_it_has_listened() -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "cvq_workers.launch.server", encode(Preload([], []))]
    with subprocess.Popen(command, stdin=there, stderr=subprocess.PIPE, text=True) as server:
        there.close()
        assert select.select([here], [], [], HANG_S)[0]
        here.close()  # what it has sent is still unread
        _, complaint = server.communicate(timeout=HANG_S)
    assert (server.returncode, complaint) == (0, "")


# ---------------------------------------------------------------------------- what a job starts


@both_ways
@linux_only
def test_what_a_job_leaves_running_ends_with_it_and_holds_up_nothing(
    client: Client, start_worker: Callable[..., Worker], method: str
) -> None:
    start_worker(CVQ_START_METHOD=method)
    handle = submit(client, DAEMON + "r = {'ok': 1}", retries=0)
    assert handle.wait(HANG_S, check=False).state == "succeeded"
    [child] = said(handle)
    assert not is_alive(child)


@both_ways
@linux_only
def test_a_job_in_another_process_group_is_cancelled_and_its_neighbour_is_not(
    client: Client, start_worker: Callable[..., Worker], method: str
) -> None:
    start_worker("--slots", "2", CVQ_START_METHOD=method)
    neighbour = submit(client, COUNT, retries=0)
    moved = submit(
        client,
        """
import os, signal, time
pid = os.fork()
if pid == 0:
    os.setpgid(0, 0); time.sleep(1000); os._exit(0)
time.sleep(.2); os.setpgid(0, pid); signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('child', pid, flush=True)
time.sleep(1000)
""",
        retries=0,
    )
    [child] = eventually(lambda: said(moved))
    moved.cancel()
    assert moved.wait(HANG_S, check=False).state == "cancelled"
    assert not is_alive(child)
    assert neighbour.wait(HANG_S).attempt == 1


@linux_only
def test_the_death_of_a_fork_server_costs_no_job_anything(
    client: Client, start_worker: Callable[..., Worker]
) -> None:
    worker = start_worker("--slots", "2")
    first = submit(client, DAEMON + COUNT, retries=0)
    eventually(lambda: first.refresh().progress)
    fork_server(worker).kill()
    others = [client.submit("selftest", steps=1, pause=0, retries=0) for _ in range(4)]
    assert [other.wait(HANG_S).attempt for other in others] == [1] * 4
    assert first.wait(HANG_S).attempt == 1
    assert not is_alive(said(first)[0])


@linux_only
def test_a_job_that_stops_or_kills_its_parent_hurts_itself_alone(
    client: Client, run: Callable[..., Job]
) -> None:
    neighbour = submit(client, COUNT, retries=0)
    eventually(lambda: neighbour.refresh().progress)
    stopped = run("import os, signal; os.kill(os.getppid(), signal.SIGSTOP); r = {'ok': 1}")
    assert stopped.state == "succeeded"
    killed = run("import os, time; os.kill(os.getppid(), 9); time.sleep(1000)", retries=0)
    assert (killed.reason, killed.error) == (
        "worker-lost",
        "the job's supervisor died, and the job with it",
    )
    assert neighbour.wait(HANG_S).attempt == 1


@linux_only
def test_nothing_outlives_a_killed_supervisor(
    client: Client, start_worker: Callable[..., Worker]
) -> None:
    """What it would have ended is left to the server, a generation at a time."""
    start_worker()
    handle = submit(
        client,
        DAEMON + """
import os
child = os.fork()
if child == 0:
    os.setsid()
    time.sleep(1000)
print('child', child, flush=True)
ctx.progress(1, 1)
time.sleep(1000)
""",
        retries=0,
    )  # fmt: skip
    children = eventually(lambda: len(found := said(handle)) == 2 and found)
    job_process = psutil.Process(children[1]).parent()
    assert job_process is not None
    supervisor = job_process.parent()
    assert supervisor is not None
    supervisor.kill()
    assert handle.wait(HANG_S, check=False).job.reason == "worker-lost"
    eventually(lambda: not any(map(is_alive, children)))


@both_ways
@linux_only
def test_nothing_outlives_a_killed_worker(
    client: Client, start_worker: Callable[..., Worker], method: str
) -> None:
    worker = start_worker(CVQ_START_METHOD=method)
    handle = submit(client, DAEMON + "import os; print('child', os.getpid()); time.sleep(1000)")
    children = eventually(lambda: len(found := said(handle)) == 2 and found)
    if method == "fork":
        fork_server(worker).kill()
    worker.stop(signal.SIGKILL)
    eventually(lambda: not any(map(is_alive, children)))


@linux_only
def test_a_job_gathers_no_zombies(run: Callable[..., Job]) -> None:
    job = run("""
import psutil, subprocess
for _ in range(20):
    subprocess.run(['sh', '-c', '(true) &'])
zombies = [p for p in psutil.Process().children() if p.status() == psutil.STATUS_ZOMBIE]
r = {'zombies': len(zombies)}
""")
    assert job.result == {"zombies": 0}


# ---------------------------------------------------------------------------- forked children


def test_what_becomes_of_a_forked_child_does_not_end_the_job(
    client: Client, run: Callable[..., Job]
) -> None:
    job = run("""
import os, signal, time
pid = os.fork()
if pid == 0:
    time.sleep(1000); os._exit(0)
until = time.time() + 3  # longer than the lease
while time.time() < until:
    os.kill(pid, signal.SIGSTOP); os.kill(pid, signal.SIGCONT)
    time.sleep(.05); ctx.progress(1, 2)
os.kill(pid, 9); os.waitpid(pid, 0)
r = {'ok': 1}
""")
    assert (job.state, job.attempt) == ("succeeded", 1), job.error


def test_a_forked_child_may_report_long_after_the_fork(
    client: Client, run: Callable[..., Job]
) -> None:
    job = run("""
import multiprocessing, time
def child():
    time.sleep(6)  # longer than the lease
    ctx.metrics(7, of_a_child=0.5)
    with ctx.artifact('child.txt') as path: path.write_text('child')
process = multiprocessing.get_context('fork').Process(target=child)
process.start(); process.join()
with ctx.artifact('parent.txt') as path: path.write_text('parent')
r = {'ok': 1, 'child': process.exitcode}
""")
    assert (job.result, job.attempt) == ({"ok": 1, "child": 0}, 1)
    assert job.metrics["of_a_child"] == 0.5
    with client.db.read() as connection:
        names = [found.name for found in queries.artifacts_of(connection, [job.id])[job.id]]
    assert sorted(names) == ["child.txt", "parent.txt"]


@pytest.mark.parametrize("end", ["pass", "raise RuntimeError('of the child')", "exit(3)"])
def test_a_child_that_returns_from_run_has_no_say_in_the_result(
    run: Callable[..., Job], end: str
) -> None:
    job = run(f"""
import os
r = {{'whose': 'the child'}}
if (pid := os.fork()) == 0:
    {end}
else:
    os.waitpid(pid, 0)
    r = {{'whose': 'the job'}}
""")
    assert (job.state, job.result, job.attempt) == ("succeeded", {"whose": "the job"}, 1)


def test_what_is_no_report_costs_its_job_a_line_of_log_and_nothing_else(
    client: Client, run: Callable[..., Job]
) -> None:
    job = run("""
from cvq_workers.protocol import ArtifactWritten, Error, Metrics, Result, encode
own = (ctx.job_id, ctx.attempt)
said = [
    encode(Metrics(*own, 2**70, {'a': 'x'}, 1.0)),
    encode(ArtifactWritten(*own, 5, None, [], {})),
    encode(Error(*own, [1], {}, None, 'x')),
    encode(Result(ctx.job_id, ctx.attempt + 1, 'of another attempt')),
    encode(Result(ctx.job_id + 1, ctx.attempt, 'of another job')),
    b'{"type": [1]}\\n',
    b'[' * 50_000 + b'\\n',
]
for line in said: ctx._control._events.sendall(line)
ctx.metrics(1, good=1.0)
r = {'ok': 1}
""")
    assert (job.state, job.result, job.attempt) == ("succeeded", {"ok": 1}, 1)
    assert job.metrics == {"good": 1.0}
    noted = [line for line in client.job(job.id).logs() if "sent what is no report" in line]
    assert len(noted) == 7


@pytest.mark.parametrize(
    "left",
    [
        "os.mkfifo('result.json'); os.mkfifo('figures.json')",
        "os.symlink('/dev/zero', 'result.json'); os.symlink('/dev/zero', 'figures.json')",
        "open('result.json', 'wb').write(b'\\xff'); open('figures.json', 'wb').write(b'\\xff')",
        "pass",
    ],
)
def test_a_result_in_a_file_that_is_none_ends_its_job(run: Callable[..., Job], left: str) -> None:
    job = run(f"""
import os
from cvq_workers.protocol import Result, encode
{left}
ctx._control._events.sendall(encode(Result(ctx.job_id, ctx.attempt, None, in_file=True)))
os._exit(0)
""")
    assert (job.state, job.reason, job.attempt) == ("failed", "error", 1)
    assert "is not what the job's process has written" in str(job.error)


def test_many_processes_report_at_once_and_no_line_is_torn(run: Callable[..., Job]) -> None:
    job = run("""
import os
pids = []
for number in range(4):
    if (pid := os.fork()) == 0:
        for step in range(500): ctx.metrics(step, **{f'child{number}': float(step)})
        os._exit(0)
    pids.append(pid)
for pid in pids: os.waitpid(pid, 0)
r = {'ok': 1}
""")
    assert {f"child{n}": 499.0 for n in range(4)}.items() <= job.metrics.items()


# ---------------------------------------------------------------------------- ends


def test_sys_exit_keeps_its_words_and_is_not_tried_again(
    client: Client, run: Callable[..., Job]
) -> None:
    job = run("import sys; sys.exit('no licence')", retries=5)
    assert (job.state, job.reason, job.error, job.attempt) == ("failed", "error", "no licence", 1)
    assert run("import sys; sys.exit(7)", retries=0).reason == "exit:7"


def test_an_exception_that_cannot_be_shown_ends_its_job_like_any_other(
    run: Callable[..., Job],
) -> None:
    job = run("""
class Mute(Exception):
    def __str__(self): raise ValueError('mute')
    __repr__ = __str__
raise Mute
""")
    assert (job.state, job.reason, job.attempt) == ("failed", "error", 1)
    assert job.error == "Mute: (its __str__ raised ValueError)"


def test_an_error_in_many_bytes_is_told_as_well(run: Callable[..., Job]) -> None:
    job = run("raise RuntimeError('\U0001f600' * 30_000)", retries=3)
    assert (job.state, job.reason, job.attempt) == ("failed", "error", 1)
    assert str(job.error).startswith("RuntimeError: \U0001f600")


@pytest.mark.parametrize(
    "then", ["import time; time.sleep(1000)", "ctx.progress(1, 2)", "r = {'ok': 1}"]
)
def test_a_job_that_closes_its_sockets_is_told_so(run: Callable[..., Job], then: str) -> None:
    job = run(f"import os; os.closerange(3, 1000)\n{then}", retries=3)
    assert (job.state, job.reason, job.attempt) == ("failed", "error", 1)
    assert str(job.error).startswith("the job closed its connection to the worker")


@pytest.mark.parametrize("ends", [["_pulse"], ["_events"], ["_pulse", "_events"]])
def test_a_job_that_shuts_its_sockets_down_is_told_so(
    run: Callable[..., Job], ends: list[str]
) -> None:
    job = run(
        f"""
import os, socket, time
for name in {ends}:
    getattr(ctx._control, name).shutdown(socket.SHUT_RDWR)
ctx.progress(1, 2)
time.sleep(1000)
""",
        retries=3,
    )
    assert (job.state, job.reason, job.attempt) == ("failed", "error", 1)
    assert str(job.error).startswith("the job closed its connection to the worker, or shut it")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ctx.metrics(2**63, loss=1.0)", "step is a number beyond 2**63"),
        ("ctx.progress(10**400, 10**400)", "done is a number beyond 2**63"),
    ],
)
def test_a_number_that_no_database_holds_is_refused_in_the_job(
    run: Callable[..., Job], code: str, words: str
) -> None:
    job = run(code, retries=3)
    assert (job.state, job.attempt) == ("failed", 1)
    assert str(job.error).startswith(words)


def test_a_large_result_arrives_whole_under_a_short_lease(run: Callable[..., Job]) -> None:
    job = run("r = {'prediction': [0.123456789] * 500_000}")
    assert (job.state, job.attempt) == ("succeeded", 1)
    assert job.result == {"prediction": [0.123456789] * 500_000}


def test_a_result_stays_what_it_is(client: Client, run: Callable[..., Job]) -> None:
    given = [0, False, [], "", {}]
    jobs = [submit(client, f"r = {result!r}") for result in given]
    found = [job.wait(HANG_S).result for job in jobs]
    assert [json.dumps(result) for result in found] == [json.dumps(result) for result in given]
    assert run("r = None").result == {}


def test_floods_of_output_hurt_nobody_under_a_short_lease(
    client: Client, run: Callable[..., Job]
) -> None:
    flood = "for _ in range(30_000): print('x' * 200)\nr = {'ok': 1}"
    flooders = [submit(client, flood, retries=0) for _ in range(2)]
    assert [handle.wait(HANG_S).attempt for handle in flooders] == [1, 1]
    assert [len(handle.logs()) for handle in flooders] == [30_000] * 2


# ---------------------------------------------------------------------------- a slow store


@pytest.fixture
def gated(
    home: Path,
    start_worker: Callable[..., Worker],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Callable[[], tuple[Client, Worker]]]:
    """Starts a worker whose store can be held, with a client of the same."""
    importlib.import_module("gated")
    (tmp_path / "sitecustomize.py").write_text("import gated\n")
    path = os.pathsep.join([str(tmp_path), str(TESTS)])
    monkeypatch.setenv("CVQ_STORE_URL", f"gated://{home}/store")
    clients: list[Client] = []

    def start() -> tuple[Client, Worker]:
        worker = start_worker("--lease", "1", PYTHONPATH=path)
        clients.append(Client(Settings.load(kinds=["misbehave"])))
        return clients[-1], worker

    yield start
    for client in clients:
        close(client)


def renewed(handle: JobHandle) -> Callable[[], bool]:
    """Whether the lease has been renewed for three times its length from now on."""
    first = handle.refresh().lease_until
    assert first is not None

    def look() -> bool:
        job = handle.refresh()
        assert job.state == "running", job.error
        assert job.lease_until is not None
        return (job.lease_until - first).total_seconds() > 3

    return look


@pytest.mark.parametrize("way", ["cancel", "drain", "time limit"])
def test_a_job_whose_input_does_not_come_can_be_ended(
    gated: Callable[[], tuple[Client, Worker]], home: Path, way: str
) -> None:
    client, worker = gated()
    (home / "input.bin").write_bytes(b"input")
    (home / "hold-get").touch()
    handle = client.submit(
        "misbehave",
        how="flood",
        file=str(home / "input.bin"),
        time_limit=1 if way == "time limit" else None,
    )
    eventually(lambda: handle.refresh().state != "queued")
    if way == "cancel":
        handle.cancel()
        assert handle.wait(HANG_S, check=False).state == "cancelled"
    elif way == "drain":
        assert worker.stop() == 0
        assert (handle.refresh().state, handle.refresh().reason) == ("queued", "preempted")
    else:
        assert handle.wait(HANG_S, check=False).reason == "timeout"
    assert not list((home / "scratch").rglob("job.json"))


@pytest.mark.parametrize("role", ["preview", "result"])
def test_an_upload_longer_than_the_lease_is_no_freeze(
    gated: Callable[[], tuple[Client, Worker]], home: Path, role: str
) -> None:
    client, _ = gated()
    (home / "hold-put").touch()
    handle = submit(
        client,
        f"with ctx.artifact('a.txt', role='{role}') as p: p.write_text('x')\n" + COUNT,
        retries=0,
    )
    eventually(lambda: handle.refresh().progress, what="progress while a file is stored")
    eventually(renewed(handle))
    (home / "hold-put").unlink()
    assert handle.wait(HANG_S).attempt == 1
    with client.db.read() as connection:
        [artifact] = queries.artifacts_of(connection, [handle.id])[handle.id]
    assert artifact.role == role


def test_a_job_is_cancelled_while_its_last_file_is_stored(
    gated: Callable[[], tuple[Client, Worker]], home: Path
) -> None:
    client, _ = gated()
    (home / "hold-put").touch()
    code = "import os; print('child', os.getpid())\n"
    code += "with ctx.artifact('a.txt') as p: p.write_text('x')"
    handle = submit(client, code, retries=0)
    [pid] = eventually(lambda: said(handle))
    eventually(lambda: not is_alive(pid))
    eventually(renewed(handle))
    handle.cancel()
    assert handle.wait(HANG_S, check=False).state == "cancelled"


def test_a_preload_that_takes_long_is_no_freeze(
    client: Client, start_worker: Callable[..., Worker], tmp_path: Path
) -> None:
    (tmp_path / "cold.py").write_text(
        "import pathlib, time\n"
        f"while not pathlib.Path({str(tmp_path / 'warm')!r}).exists(): time.sleep(.02)\n"
    )
    path = os.pathsep.join([str(tmp_path), str(TESTS)])
    start_worker("--lease", "1", PYTHONPATH=path, CVQ_PRELOAD="cold")
    handle = client.submit("selftest", steps=1, pause=0, retries=0)
    eventually(lambda: handle.refresh().state == "running")
    eventually(renewed(handle))
    (tmp_path / "warm").touch()
    assert handle.wait(HANG_S).attempt == 1


# ---------------------------------------------------------------------------- a full disk


@pytest.fixture
def small_disk(home: Path) -> Iterator[Path]:
    """The home on a disk of 24 MB."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(home)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no right to mount a small disk: {mounted.stderr.decode()}")
    yield home
    stop_redis(home)
    subprocess.run(["umount", "-l", str(home)], check=True)


@linux_only
def test_a_job_that_fills_the_disk_is_told_so_and_its_neighbour_goes_on(
    small_disk: Path, client: Client, start_worker: Callable[..., Worker]
) -> None:
    start_worker("--slots", "2", "--lease", "5")
    neighbour = submit(client, COUNT, retries=0)
    eventually(lambda: neighbour.refresh().progress)
    greedy = submit(
        client,
        """
with ctx.artifact('big') as path, path.open('wb') as file:
    while True: file.write(b'x' * 65536)
""",
        retries=1,
    )
    job = greedy.wait(HANG_S, check=False)
    assert (job.state, job.attempt) == ("failed", 2)
    assert "No space left on device" in str(job.error)
    with client.db.read() as connection:
        assert [row.reason for row in queries.attempts_of(connection, job.id)] == ["disk-full"] * 2
    assert neighbour.wait(HANG_S).attempt == 1


# ---------------------------------------------------------------------------- what a job inherits


@both_ways
def test_a_job_gets_neither_secrets_nor_descriptors(
    client: Client,
    start_worker: Callable[..., Worker],
    monkeypatch: pytest.MonkeyPatch,
    home: Path,
    tmp_path: Path,
    method: str,
) -> None:
    (tmp_path / "config" / "cvq").mkdir(parents=True)
    (tmp_path / "config" / "cvq" / "cvq.toml").write_text('broker_url = "redis://:topsecret@x"\n')
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "topsecret")
    monkeypatch.setenv("HF_TOKEN", "passed on")
    start_worker(
        CVQ_START_METHOD=method,
        CVQ_STORE_URL=f"file://{home}/store?topsecret",
        CVQ_BROKER_URL="",
        CVQ_PASS_ENV="HF_TOKEN",
    )
    handle = submit(
        client,
        """
import os
from cvq import Settings
parent = open(f'/proc/{os.getppid()}/environ').read() if os.path.isdir('/proc') else ''
own = open('/proc/self/environ').read() if os.path.isdir('/proc') else ''
r = {'environ': dict(os.environ), 'first': own + parent, 'settings': repr(Settings.load()),
     'urls': [Settings.load().broker_url, Settings.load().database_url],
     'descriptors': [os.readlink(f'/proc/self/fd/{fd}') for fd in range(64)
                     if os.path.lexists(f'/proc/self/fd/{fd}')]}
""",
        retries=0,
    )
    job = handle.wait(HANG_S)
    assert job.result is not None
    assert "topsecret" not in json.dumps(job.result)
    assert job.result["urls"] == [None, None]
    assert job.result["environ"]["HF_TOKEN"] == "passed on"
    assert job.result["environ"]["CVQ_INSIDE_JOB"] == str(handle.id)
    found = [name.partition(":")[0] for name in job.result["descriptors"]]
    assert found == ["/dev/null", "pipe", "pipe", "socket", "socket"]


def test_a_library_that_resets_the_signals_pipe_at_a_fork_hurts_no_job(
    client: Client, start_worker: Callable[..., Worker], tmp_path: Path
) -> None:
    # asyncio does, from Python 3.12 on.
    (tmp_path / "resets.py").write_text(
        "import os, signal\nos.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))\n"
    )
    path = os.pathsep.join([str(tmp_path), str(TESTS)])
    start_worker(PYTHONPATH=path, CVQ_PRELOAD="resets")
    job = client.submit("selftest", steps=1, pause=0, retries=0).wait(HANG_S, check=False)
    assert (job.state, job.attempt) == ("succeeded", 1), job.error
