"""Sweeps on the command line: a space in, one line told, ranks out, one cancel, and going on."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cvq import Client
from cvq.states import State
from cvq.sweep import Stage
from waiting import HANG_S, eventually

from .conftest import Cli, FakeWorker


def names(client: Client, number: int = 1) -> list[str]:
    handle = client.sweep_of(number)
    return [handle.label(trial) for trial in handle.trials]


@pytest.fixture
def ended(run: Cli, client: Client, worker: FakeWorker) -> Client:
    """Four trials: two have succeeded, one has failed, one is queued."""
    run("sweep", "selftest", "--grid", "steps=5,10", "pause=0,1e-2", "--maximize", "value",
        "--retries", "0", "--name", "night")  # fmt: skip
    for value in (0.25, 0.75):
        worker.finish(worker.claim(), result={"value": value})
    worker.finish(worker.claim(), "failed", reason="error", error="=it\nbroke")
    return client


def test_a_grid_is_queued_and_told_in_a_line(run: Cli, client: Client) -> None:
    said = run("sweep", "selftest", "--grid", "steps=5,10", "--grid", "pause=0,1e-2")
    assert said.out == "sweep 1: 4 trials of selftest\n"
    assert names(client) == [
        "steps=5 pause=0", "steps=5 pause=1e-2", "steps=10 pause=0", "steps=10 pause=1e-2"
    ]  # fmt: skip
    assert run("sweep", "selftest", "--grid", "steps=5", "-q").out == "2\n"
    shape = run("sweep", "selftest", "--random", "2", "steps=int:1:99", "--seed", "4", "--json")
    assert (shape.json["method"], shape.json["seed"], shape.json["submitted"]) == ("random", 4, 2)


@pytest.mark.parametrize(
    "words",
    [
        ["--random", "2", "steps=int:1:9", "pause=float:0:1"],
        ["--random=2", "steps=int:1:9", "pause=float:0:1"],
        ["steps=int:1:9", "--random", "2", "--maximize", "value", "pause=float:0:1"],
        ["--space", "steps=int:1:9", "--space=pause=float:0:1", "--random", "2"],
    ],
)
def test_parameters_stand_where_one_writes_them(
    run: Cli, client: Client, words: list[str]
) -> None:
    run("sweep", "selftest", *words)
    assert [parameter.name for parameter in client.sweep_of(1).space] == ["steps", "pause"]


def test_a_value_of_another_option_is_no_parameter(run: Cli, client: Client) -> None:
    run("sweep", "selftest", "--grid", "steps=5", "--name", "pause=1", "--tag", "seed=2")
    assert (names(client), client.sweep_of(1).sweep.name) == (["steps=5"], "pause=1")


def test_files_beside_parameters(
    run: Cli, client: Client, pictures: tuple[Path, Path], tmp_path: Path
) -> None:
    params = tmp_path / "p.toml"
    params.write_text("seed = 9\nsize = 64")
    run("sweep", "style-transfer", *pictures, "--params", params, "--grid", "steps=1,2")
    specs = [client.job(number).spec for number in (1, 2)]
    assert [(s["steps"], s["size"], s["seed"]) for s in specs] == [(1, 64, 9), (2, 64, 9)]
    assert [style["name"] for style in specs[0]["style"]] == ["style.png"]


def test_a_dry_run_tells_the_first_trials_and_queues_nothing(run: Cli, client: Client) -> None:
    said = run("sweep", "selftest", "--grid", "steps=int:1:9", "--parallel", "2", "--dry-run")
    assert said.out.splitlines()[:3] == [
        "9 trials of selftest, 2 at a time:", "  1: steps=1", "  2: steps=2"
    ]  # fmt: skip
    assert "nothing was queued" in said.err
    shape = run("sweep", "selftest", "--grid", "steps=1,2", "--dry-run", "--json").json
    assert [each["params"] for each in shape["first"]] == [{"steps": 1}, {"steps": 2}]
    assert run("sweep", "ls").err.startswith("no sweeps: `cvq sweep")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["selftest"], "how is it to be searched? Give --grid"),
        (["selftest", "--grid", "steps=1", "--random", "2"], "--grid and --random cannot be"),
        (["selftest", "--random", "2"], "the space is empty"),
        (["selftest", "--grid", "stps=1"], "selftest has no field 'stps': did you mean 'steps'?"),
        (["selftest", "--grid", "steps=0,1"], "selftest: --steps '0': give 1 to 1000000"),
        (["selftest", "--grid", "steps=1", "--steps", "2"], "steps is in the space, and is given"),
        (["selftest", "--grid", "steps=1", "--warm-up", "2"], "--warm-up is for pruning"),
        (["selftest", "--grid", "steps=int:1:1000000"], "1,000,000 trials are more than the"),
        (["selftest", "--grid", "steps=1", "--wait", "--detach"], "--wait and --detach cannot"),
        (["selfest", "--grid", "steps=1"], "unknown kind 'selfest': did you mean 'selftest'?"),
        (["shwo", "3"], "no command or kind 'shwo': did you mean 'show'?"),
        (["show", "7"], "no sweep 7: `cvq sweep ls` lists sweeps"),
        (["show", "@"], "you have not started that many sweeps"),
        (["show", "x"], "invalid value for 'SWEEP': 'x' is not a sweep"),
        (["show", "1-2"], "1-2: give sweeps one by one"),
    ],
)
def test_what_cannot_be_is_one_line(run: Cli, words: list[str], said: str) -> None:
    answer = run("sweep", *words, code=2)
    assert answer.err.startswith(f"cvq: error: {said}")
    assert (answer.err.count("\n"), answer.out) == (1, "")


def test_a_kind_that_is_called_as_a_command_can_be_swept(
    run: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: Client
) -> None:
    (tmp_path / "mine.py").write_text(
        "from cvq import Kind, Spec\n"
        "class S(Spec):\n    x: int = 1\n    trials: int = 1\n"
        "KIND = Kind(name='show', spec=S, run='mine:run', summary='A show.')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CVQ_KINDS", "mine")
    run("sweep", "start", "show", "--grid", "x=1,2", "trials=5")
    assert names(client) == ["x=1", "x=2"]
    assert client.job(1).spec["trials"] == 5
    assert "A show." in run("sweep", "start", "--help").out


def test_trials_are_ranked_the_best_first(run: Cli, ended: Client) -> None:
    said = run("sweep", "show", "@").out.splitlines()
    assert said[0] == (
        "sweep 1 (night): selftest, grid, 4 trials, 1 failed, 1 queued, 2 succeeded"
    )
    assert said[1].split() == [
        "RANK", "TRIAL", "JOB", "STATE", "VALUE", "STEPS", "PAUSE", "TIME"
    ]  # fmt: skip
    assert [line.split()[:7] for line in said[2:4]] == [
        ["1", "2", "2", "succeeded", "0.75", "5", "1e-2"],
        ["2", "1", "1", "succeeded", "0.25", "5", "0"],
    ]
    assert run("sweep", "show", "1", "-q", "--minimize", "value").out.split() == list("1243")
    shape = run("sweep", "show", "1", "--json", "-n", "1").json
    assert [(t["rank"], t["trial"], t["value"]) for t in shape["ranking"]] == [(1, 2, 0.75)]
    assert shape["ranking"][0]["params"] == {"steps": 5, "pause": 0.01}
    rows = list(csv.DictReader(io.StringIO(run("sweep", "show", "1", "--csv").out)))
    assert [(row["rank"], row["value"], row["pause"]) for row in rows] == [
        ("1", "0.75", "0.01"), ("2", "0.25", "0.0"), ("", "", "0.01"), ("", "", "0.0")
    ]  # fmt: skip
    assert run("sweep", "show", "1", "--md").out.startswith("| rank | trial |")


def test_a_sweep_is_cancelled_as_one(run: Cli, ended: Client) -> None:
    assert run("sweep", "cancel", "@").out == "sweep 1: 1 trial cancelled\n"
    assert run("sweep", "cancel", "1").out == "sweep 1 had already ended\n"
    assert run("sweep", "ls").out.splitlines()[1].split()[:2] == ["1", "cancelled"]
    assert "was cancelled: start another" in run("sweep", "resume", "1", code=2).err
    assert run("sweep", "ls", "--user", "nobody", "--json").json == []
    run(
        "sweep", "selftest", "--grid", "steps=1,2,3", "--parallel", "1", "--timeout", "0", code=124
    )
    assert run("cancel", "--sweep", "2").out == "sweep 2: 1 trial cancelled\n"
    assert ended.sweep_of(2).sweep.stage == Stage.CANCELLED
    assert [row["id"] for row in run("ls", "--sweep", "@", "--json").json] == [5]


def test_a_sweep_is_followed_to_its_end(run: Cli, client: Client, worker: FakeWorker) -> None:
    run("sweep", "selftest", "--grid", "steps=5,10", "--minimize", "value")
    for value in (0.5, 0.25):
        worker.finish(worker.claim(), result={"value": value})
    said = run("sweep", "resume", "1")
    assert said.out == "sweep 1: 2 succeeded; best: value 0.25 in job 2 (steps=10)\n"
    assert run("sweep", "resume", "1", "-q").out == "1\n"
    assert run("sweep", "resume", "1", "--json").json["state"] == "succeeded"
    watched = run("watch", "--sweep", "1", "--json")
    assert json.loads(watched.out)["states"] == {"succeeded": 2}
    assert run("watch", "--sweep", "1").out == said.out
    assert run("wait", "--sweep", "@").out == said.out
    run("sweep", "selftest", "--grid", "steps=3", "--retries", "0")
    worker.finish(worker.claim(), "failed", reason="error", error="it\nbroke")
    said = run("sweep", "resume", "@", code=1)
    assert "trial 1 (steps=3), job 3, failed: it broke" in said.err
    assert "sweep 2: 1 of 1 trials failed: `cvq ls --sweep 2" in said.err


def test_who_drives_is_told_to_whoever_else_would(run: Cli, client: Client) -> None:
    from cvq.sweeps.driver import Driver

    run("sweep", "selftest", "--grid", "steps=1,2", "--parallel", "1", "--timeout", "0", code=124)
    handle = client.sweep_of(1)
    Driver(client, handle.sweep).step()
    said = run("sweep", "resume", "1", code=2)
    assert f"sweep 1 is driven by {client.settings.user}@" in said.err
    assert f"pid {os.getpid()}: `cvq watch --sweep 1` follows it" in said.err


@pytest.mark.slow
def test_ctrl_c_cancels_nothing_and_says_how_to_go_on(client: Client, worker: FakeWorker) -> None:
    command = [sys.executable, "-m", "cvq_cli", "sweep"]
    start = [*command, "selftest", "--grid", "steps=1,2,3", "--parallel", "1"]

    def begin(words: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    first = begin(start)
    eventually(lambda: client.db.exists and _sweeps(client), "the sweep")
    eventually(lambda: client.sweep_of(1).sweep.driven, "a driver")
    first.send_signal(signal.SIGINT)
    _, err = first.communicate(timeout=HANG_S)
    assert first.returncode == 130
    assert "sweep 1 is interrupted, 2 trials are still to come: what is queued goes on" in err
    assert "`cvq sweep resume 1` goes on with it" in err
    assert client.sweep_of(1).sweep.states == {State.QUEUED: 1}
    second = begin([*command, "resume", "1"])
    for _ in range(3):
        worker.finish(worker.wait_and_claim(), result={"value": 1.0})
    out, err = second.communicate(timeout=HANG_S)
    assert (second.returncode, out) == (0, "sweep 1: 3 succeeded\n"), err
    assert client.sweep_of(1).sweep.stage == Stage.COMPLETE


@pytest.mark.slow
def test_a_sweep_in_the_background(client: Client, worker: FakeWorker, shell: Cli) -> None:
    said = shell("sweep", "selftest", "--grid", "steps=1,2", "--parallel", "1", "--detach")
    assert "it goes on in the background" in said.err
    for _ in range(2):
        worker.finish(worker.wait_and_claim(), result={"value": 1.0})
    eventually(lambda: client.sweep_of(1).sweep.finished, "the driver to be done")
    log = client.settings.home / "logs" / "sweep-1.log"
    eventually(lambda: "sweep 1: 2 succeeded" in log.read_text(), "the driver's last line")


def _sweeps(client: Client) -> list[Any]:
    from cvq.sweeps import reading

    with client.db.read() as connection:
        return reading.last_sweeps(connection)


def test_the_words_of_a_program_are_no_parameters(run: Cli, client: Client) -> None:
    words = ["python", "t.py", "seed={seed}", "lr={lr}", "-1", "--seed", "-2"]
    run("sweep", "command", "--workdir", "none", "--grid", "lr=0.1,0.2", "seed=1,2", *words)
    jobs = sorted(client.jobs(), key=lambda job: job.id)
    assert [job.spec["argv"] for job in jobs] == [words] * 4
    assert [(job.spec["values"], job.spec["seed"]) for job in jobs] == [
        ({"lr": lr}, seed) for lr in (0.1, 0.2) for seed in (1, 2)
    ]
