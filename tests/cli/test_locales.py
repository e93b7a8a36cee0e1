"""Odd locales and terminals: every command works, whatever characters a job's words have."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pexpect
import pytest

from cvq import Client
from cvq.batch import NewBatch
from cvq.lifecycle import batches
from cvq.records import NewJob

from .conftest import FakeWorker

NAME = "größe 日本 😀 …"
COMMANDS = (
    "ls", "ls --csv", "show 1", "metrics 1", "artifacts 1", "logs 1", "why 1", "status",
    "kinds selftest", "batches", "results 1", "ls --kind 日本", "ls --json",
)  # fmt: skip
# One process for all of them; a start takes half a second.
PROGRAM = """
import sys
from cvq_cli.main import main
for line in sys.stdin.buffer.read().decode("utf-8").splitlines():
    sys.argv[1:] = line.split()
    try:
        main()
    except SystemExit as end:
        print("=", end.code, flush=True)
"""


@pytest.fixture
def _job(client: Client, worker: FakeWorker) -> None:
    client.submit("selftest", name=NAME, tags={"größe": NAME})
    job = worker.claim()
    worker.metric(job, "größe", 1.0, 2.0)
    worker.log(job, NAME)
    worker.artifact(job, "größe.txt", b"x")
    worker.finish(job, "failed", reason="error", error=NAME)
    bad = NewJob("selftest", {}, "0", NAME, name=NAME, error=NAME)
    with client.db.write() as connection:
        batches.submit(connection, NewBatch("selftest", NAME, {}, 1, name=NAME), [bad])


@pytest.mark.slow
@pytest.mark.usefixtures("_job")
@pytest.mark.parametrize(
    "given",
    [
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "cp437"},
        {"LC_ALL": "C"},
        {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
    ids=str,
)
def test_every_command_works_in_every_locale(given: dict[str, str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name[:3] != "LC_"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], input="\n".join(COMMANDS).encode(), check=False,
        capture_output=True, env=environment | given,
    )  # fmt: skip
    said = done.stderr.decode("latin-1")
    assert "internal error" not in said
    assert "Traceback" not in said
    *codes, last = [part.split()[0] for part in done.stdout.decode("latin-1").split("= ")[1:]]
    known = {"4"} if "PYTHONUTF8" in given else set()  # where files cannot be named
    assert set(codes) <= {"0", "2"} | known
    encoding = {"latin-1": "latin-1", "cp437": "cp437"}.get(given.get("PYTHONIOENCODING", ""))
    shown = done.stdout.decode(encoding or "utf-8", "replace").rpartition("= 2")[2]
    assert json.loads(shown.rpartition("=")[0])[0]["name"] == NAME
    assert last == "0"


@pytest.mark.slow
@pytest.mark.usefixtures("_job")
@pytest.mark.parametrize("term", ["dumb", "", None])
def test_a_terminal_that_understands_nothing(term: str | None) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("TERM", "COLUMNS")}
    if term is not None:
        environment["TERM"] = term
    for words in (["ls"], ["show", "1"], ["logs", "1"], ["status"], ["watch", "1"]):
        child = pexpect.spawn(
            sys.executable, ["-m", "cvq_cli", *words], dimensions=(40, 60), encoding="utf-8",
            env=environment,
        )  # fmt: skip
        child.expect(pexpect.EOF)
        child.close()
        assert "\x1b" not in child.before
        assert any(word in child.before for word in ("selftest", "jobs      2 failed", NAME))
