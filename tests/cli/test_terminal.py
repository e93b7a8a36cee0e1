"""What a person sees: colours, the progress bar, questions, Ctrl-C."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from cvq import Client, queries
from cvq.records import Job
from waiting import HANG_S, eventually

from .conftest import FakeWorker

Terminal = Callable[..., "pexpect.spawn[str]"]


@pytest.fixture
def terminal(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """Start a command in a pseudo-terminal."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)
    started = []

    def start(*words: object, width: int = 100) -> pexpect.spawn[str]:
        child = pexpect.spawn(
            sys.executable, ["-m", "cvq_cli", *map(str, words)],
            dimensions=(40, width), timeout=HANG_S, encoding="utf-8",
        )  # fmt: skip
        child.logfile_read = io.StringIO()
        started.append(child)
        return child

    yield start
    for child in started:
        child.close(force=True)


def leave(child: pexpect.spawn[str]) -> tuple[int, str]:
    """Wait for the end; return the exit code and the whole screen without control sequences."""
    child.expect(pexpect.EOF)
    child.close()
    text = child.logfile_read.getvalue().replace("\r\n", "\n")
    return child.exitstatus, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_list_is_coloured_and_fits(terminal: Terminal, client: Client) -> None:
    client.submit("selftest", name="a name that is much too long for a narrow terminal " * 2)
    child = terminal("ls", width=60)
    code, screen = leave(child)
    assert code == 0
    assert "\x1b[33mqueued" in child.logfile_read.getvalue()
    assert "…" in screen
    assert max(len(line) for line in screen.splitlines()) <= 60
    assert screen.splitlines()[1].split()[:3] == ["1", "queued", "selftest"]


def test_no_color(terminal: Terminal, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.submit("selftest")
    monkeypatch.setenv("NO_COLOR", "1")
    for words in (["ls"], ["show", "1"], ["doctor"], ["status"]):
        child = terminal(*words)
        leave(child)
        assert not re.search(r"\x1b\[3\dm", child.logfile_read.getvalue()), words


def test_submit_gives_advice(terminal: Terminal, client: Client) -> None:
    _, screen = leave(terminal("submit", "selftest"))
    assert "job 1 queued: selftest" in screen
    assert "`cvq watch 1` follows it" in screen
    assert "`cvq up -d` starts one" in screen


def test_progress_bar(terminal: Terminal, client: Client, worker: FakeWorker) -> None:
    worker.arrive("default")
    child = terminal("submit", "selftest", "--wait")
    job = worker.wait_and_claim()
    worker.progress(job, 4, 10)
    worker.metric(job, "value", 0.25)
    child.expect("4/10")
    child.expect("1.0s left")
    child.expect("value 0.25")
    worker.artifact(job, "out.txt", b"x")
    worker.finish(job)
    code, screen = leave(child)
    assert code == 0
    assert re.search(r"job 1 succeeded in \d", screen)
    assert "jobs/1/1/out.txt" in screen


def test_a_batch_has_one_bar_and_its_failures_above(
    terminal: Terminal, added: list[Job], worker: FakeWorker
) -> None:
    worker.arrive("default")
    child = terminal("watch", "--batch", "@", width=80)
    child.expect(r"job 2 \(3 4\) failed \(error\): it is no number")
    child.expect("batch 1 ")
    child.expect("2/3")
    child.expect("1 failed")
    worker.finish(worker.claim())
    code, screen = leave(child)
    assert code == 1
    assert "batch 1: 1 failed, 2 succeeded" in screen
    assert "`cvq results 1` prints what came out" in screen
    assert max(len(line) for line in re.split(r"[\r\n]+", screen)) <= 80


@pytest.mark.usefixtures("batched")
def test_what_is_said_stands_above_a_bar(
    terminal: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    code, screen = leave(terminal("submit", "brightness", folder))
    assert code == 0
    assert re.search("[\r\n]photos: left out: 1 file", screen)  # and not behind the bar
    assert re.search("[\r\n]batch 1: 3 jobs queued", screen)


def test_ctrl_c_while_waiting_leaves_the_job(terminal: Terminal, client: Client) -> None:
    child = terminal("submit", "selftest", "--wait")
    child.expect("━")
    child.sendintr()
    code, screen = leave(child)
    assert code == 130
    assert "job 1 continues: `cvq watch 1` follows it" in screen
    assert "Traceback" not in screen
    assert client.job(1).state == "queued"


def test_cancel_asks_before_it_cancels_several(terminal: Terminal, client: Client) -> None:
    for _ in range(2):
        client.submit("selftest")
    child = terminal("cancel", "1-2")
    child.expect("Cancel these 2 jobs?")
    child.sendline("n")
    code, screen = leave(child)
    assert (code, "nothing was cancelled" in screen) == (0, True)
    assert client.job(1).state == "queued"
    assert leave(terminal("cancel", "1-2", "-y"))[0] == 0
    assert [job.state for job in client.jobs()] == ["cancelled", "cancelled"]


def test_watched_list_changes_until_ctrl_c(terminal: Terminal, client: Client) -> None:
    client.submit("selftest")
    child = terminal("ls", "-w")
    child.expect("queued")
    client.cancel(1)
    child.expect("cancelled")
    child.sendintr()
    assert leave(child)[0] == 130


def test_watched_jobs_are_left_running(
    terminal: Terminal, client: Client, worker: FakeWorker
) -> None:
    for _ in range(2):
        client.submit("selftest")
    worker.report(worker.claim(), progress={"done": 3, "total": 10, "unit": "step", "eta_s": 7.0})
    child = terminal("watch", width=60)
    child.expect("3/10.*7.0s")
    child.sendintr()
    code, screen = leave(child)
    assert code == 130
    assert "2 jobs continue: `cvq watch` shows them, `cvq cancel`" in " ".join(screen.split())
    assert [job.state for job in client.jobs()] == ["queued", "running"]
    client.cancel(2)
    worker.finish(client.job(1).job)
    code, screen = leave(terminal("watch", "1-2", width=40))
    assert code == 3
    assert "cancelled" in screen
    child = terminal("watch", 1)
    assert leave(child)[0] == 0


def test_run_interrupted(
    terminal: Terminal, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CVQ_PRELOAD", "")
    child = terminal("run", "selftest", "--steps", 1000, "--pause", 0.1)
    child.expect(r"\d/1000")
    child.sendintr()
    code, screen = leave(child)
    assert code == 3
    assert "job 1 was cancelled by Ctrl-C" in screen
    eventually(lambda: client.job(1).state == "cancelled")


def test_ctrl_c_while_draining_leaves_it_going_on(
    terminal: Terminal, client: Client, worker: FakeWorker
) -> None:
    worker.arrive("default")
    child = terminal("drain", "fake", "--wait")
    child.expect("waiting for 1 worker to leave")
    child.sendintr()
    code, screen = leave(child)
    assert code == 130
    assert "draining continues: `cvq workers` shows its progress" in screen
    assert "Traceback" not in screen
    with client.db.read() as connection:
        assert [row.drain for row in queries.workers(connection)] == ["stop"]


def test_watched_status(terminal: Terminal, client: Client) -> None:
    child = terminal("status", "-w")
    child.expect("no workers")
    child.sendintr()
    assert leave(child)[0] == 130


def test_a_narrow_terminal_shows_the_place_of_a_mistake(
    terminal: Terminal, client: Client
) -> None:
    client.submit("selftest")
    child = terminal("ls", "--where", "duration > 1 and nothing_like_it > 3", width=40)
    code, screen = leave(child)
    assert code == 2
    assert max(map(len, screen.splitlines())) <= 40
    shown, carets = screen.splitlines()[-2:]
    assert shown[carets.index("^") :].startswith("nothing_like_it")
