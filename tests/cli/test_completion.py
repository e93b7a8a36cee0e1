"""What is suggested while somebody types: in three shells for real, and out of any database."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest
from situations import arrive, submit

from cvq import Client, Settings
from cvq.completions import Completions
from cvq.db import Database
from waiting import HANG_S

from .conftest import Cli, FakeWorker
from .test_start import loaded

BIN = Path(sys.executable).parent
# What is typed before a key is pressed, and the words that the command then gets.
TYPED = {
    "cvq show ": "<show><1>",
    "cvq cancel --tag project=po": "<cancel><--tag><project=poster>",
    "cvq ls --state queued,fa": "<ls><--state><queued,failed>",
    "cvq ls --sort=-val_a": "<ls><--sort=-val_accuracy>",
    "cvq ls --where 'best(val_a": "<ls><--where><best(val_accuracy>",
    "cvq kinds style": "<kinds><style-transfer>",
    "cvq submit style-transfer --siz": "<submit><style-transfer><--size>",
}
START = {
    "bash": (["--norc", "--noprofile", "-i"], 'eval "$(cvq completion bash)"'),
    "zsh": (["-f", "-i"], 'autoload -U compinit; compinit -u; eval "$(cvq completion zsh)"'),
}


@pytest.fixture
def known(client: Client, worker: FakeWorker) -> Client:
    """One job, with a tag and a metric."""
    client.submit("selftest", tags={"project": "poster"})
    job = worker.claim()
    worker.metric(job, "val_accuracy", 0.5, 0.9)
    return client


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_a_shell_completes_what_is_typed(name: str, known: Client, tmp_path: Path) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"there is no {name}")
    words, prepare = START[name]
    env = os.environ | {
        "PATH": f"{BIN}:{os.environ['PATH']}", "TERM": "dumb", "HOME": str(tmp_path),
        "ZDOTDIR": str(tmp_path), "PS1": "$ ",
    }  # fmt: skip
    child = pexpect.spawn(
        name, words, env=env, timeout=HANG_S, encoding="utf-8", dimensions=(40, 200)
    )
    try:
        child.sendline(f"{prepare}; cvq() {{ printf '<%s>' \"$@\"; echo; }}; echo rea''dy")
        child.expect("ready\r")
        for typed, got in TYPED.items():
            child.send(f"{typed}\t\r")  # the shell itself ends a word in quotes
            child.expect(r"(<[^\r\n]*>)[\r\n]")
            assert child.match[1] == got
    finally:
        child.close(force=True)


@pytest.mark.slow
def test_fish_completes_what_is_typed(known: Client, tmp_path: Path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("there is no fish")
    env = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    for typed, got in TYPED.items():
        script = 'cvq completion fish | source; complete -C "$argv[1]"'
        done = subprocess.run(
            ["fish", "-N", "-c", script, typed],
            env=env, capture_output=True, text=True, timeout=HANG_S, check=False,
        )  # fmt: skip
        word = got.rpartition("<")[2].rstrip(">")
        assert done.stderr == ""
        assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [word], typed
    assert "selftest running" in subprocess.run(
        ["fish", "-N", "-c", script, "cvq show "],
        env=env, capture_output=True, text=True, timeout=HANG_S, check=True,
    ).stdout  # fmt: skip


def completed(shell: Cli, typed: str, **env: str) -> list[str]:
    said = shell(_CVQ_COMPLETE="bash_complete", CVQ_TYPED=typed, code=None, **env)
    assert said.err == ""
    return [line.partition(",")[2] for line in said.out.splitlines() if line]


def test_the_newest_jobs_come_first(shell: Cli, client: Client) -> None:
    for _ in range(12):
        client.submit("selftest")
    assert completed(shell, "cvq show ") == [str(number) for number in range(12, 0, -1)]
    assert completed(shell, "cvq show 1") == ["12", "11", "10", "1"]
    assert completed(shell, "cvq show 3-1") == ["3-12", "3-11", "3-10", "3-1"]
    client.cancel(12)
    assert completed(shell, "cvq cancel 1") == ["11", "10", "1"]


def test_nothing_is_said_or_made_where_there_is_no_database(shell: Cli, home: Path) -> None:
    (home / "cvq.db").unlink()
    assert completed(shell, "cvq show ") == []
    assert not any(home.iterdir())
    (home / "cvq.db").write_bytes(b"no database at all" * 100)
    assert completed(shell, "cvq show ") == []
    assert completed(shell, "cvq show ", CVQ_DATABASE_URL="postgresql://x@127.0.0.1:9/x") == []
    assert completed(shell, "cvq show ", CVQ_DATABASE_URL="what: is this") == []
    assert completed(shell, "cvq show ", CVQ_LEASE="soon") == []


def test_completion_loads_nothing_heavy(home: Path) -> None:
    code = (
        "import os; os.environ |= {'_CVQ_COMPLETE': 'bash_complete', 'CVQ_TYPED': 'cvq show '}\n"
        "import sqlite3\nfrom cvq_cli.main import cvq\n"
        "try: cvq.main([], prog_name='cvq')\nexcept SystemExit: pass"
    )
    assert loaded(code) == set()


def test_suggestions_of_both_databases(database: Database) -> None:
    for name in ("first run", "plain", "\x1b[31mred"):
        submit(database, name=name, tags={"project": "a", "with blank": "x", "n": "3"},
               spec={"lr": 0.1, "deep": {"er": "yes"}}, user="ann")  # fmt: skip
    submit(database, user="bob", kind="vae")
    arrive(database, "lab.7")
    found = Completions(database.settings)

    def words(suggest: Callable[..., list[tuple[str, str]]], *given: str) -> list[str]:
        return [each[0] for each in suggest(*given)]

    assert words(found.jobs) == ["4", "3", "2", "1"]
    assert found.jobs("3")[0].help == "selftest \\x1b[31mred queued"
    assert words(found.jobs, "x") == []
    assert words(found.words, "user") == ["ann", "bob"]
    assert words(found.words, "name") == ["plain"]  # others would be two words to a shell
    assert words(found.kinds, "va") == ["vae"]
    assert words(found.tags) == ["n", "project"]
    assert words(found.tags, "project=") == ["project=a"]
    assert words(found.fields, "params.") == ["params.deep.er", "params.lr"]
    assert words(found.workers) == ["lab.7"]
    assert words(found.batches) == words(found.sweeps) == []


def test_a_history_in_use_is_read(client: Client, home: Path) -> None:
    client.submit("selftest")
    with sqlite3.connect(home / "cvq.db") as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert [each.word for each in Completions(Settings.load()).jobs()] == ["1"]
        writer.rollback()
    writer.close()


def test_a_server_is_asked_through_libpq_alone(database: Database, shell: Cli) -> None:
    submit(database, name="poster")
    url = database.settings.database_url
    environment = {"CVQ_DATABASE_URL": url} if url else {}
    assert "1" in str(completed(shell, "cvq show ", **environment))
