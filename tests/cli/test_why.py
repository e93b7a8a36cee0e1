"""`cvq why` in a pipe; what it says of each state is tested in tests/core/explain."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvq import Client
from cvq.lifecycle import jobs
from cvq.records import NewJob

from .conftest import Cli, FakeWorker


def enter(client: Client, **values: str) -> int:
    """A job in the database alone: no doorbell starts the embedded Redis."""
    with client.db.write() as connection:
        return jobs.submit(
            connection,
            NewJob(**{"kind": "selftest", "spec": {}, "spec_hash": "0", "user": "ann"} | values),
        )


def test_one_job(run: Cli, client: Client) -> None:
    enter(client)
    assert run("why", "1").out == (
        "job 1  selftest  queued\n"
        "No live worker serves the queue 'default'.\n"
        "→ `cvq up -d` starts one.\n"
    )


def test_several_jobs(run: Cli, client: Client, worker: FakeWorker) -> None:
    client.submit("selftest", retries=0)
    client.submit("selftest")
    worker.finish(worker.claim(), "failed", reason="exit:3", error="it left")
    worker.finish(worker.claim())
    first, second = run("why", "1-2").out.split("\n\n")
    assert first.startswith("job 1  selftest  failed (exit:3)\nIts process left with exit code 3 ")
    assert "\n→ `cvq logs 1 --stream stderr --tail 50` shows its last lines." in first
    assert second.startswith("job 2  selftest  succeeded\n")


def test_what_a_training_warns_of_is_told(run: Cli, client: Client, worker: FakeWorker) -> None:
    client.submit("selftest")
    warnings = ["the network is no better than chance: 3 of 30 are right", "x.png is lost"]
    worker.finish(worker.claim(), result={"warnings": warnings, "steps": 3})
    why = run("why", "1").out
    assert "It warns: the network is no better than chance: 3 of 30 are right." in why
    assert "It warns: x.png is lost." in why
    shown = run("show", "1").out
    assert "Warnings\nthe network is no better than chance: 3 of 30 are right\nx.png" in shown


def test_json(run: Cli, client: Client) -> None:
    enter(client)
    enter(client, queue="mine")
    assert run("why", "2", "--json").json == {
        "job_id": 2,
        "state": "queued",
        "why": "No live worker serves the queue 'mine'.",
        "advice": ["`cvq worker --queues mine` starts one."],
        "batch": None,
    }
    assert [found["job_id"] for found in run("why", "1-2", "--json").json] == [1, 2]


def test_a_jobs_words_do_not_steer_the_terminal(
    run: Cli, client: Client, worker: FakeWorker
) -> None:
    client.submit("selftest")
    worker.finish(worker.claim(), "failed", reason="error", error="no\x1b[2J\x9b\x07")
    assert "error: no\\x1b[2J\\x9b\\x07." in run("why", "1").out


def test_the_embedded_redis_is_asked_and_not_started(
    run: Cli, client: Client, worker: FakeWorker, home: Path
) -> None:
    enter(client)
    worker.arrive("default")
    assert "finds it some seconds later: the embedded Redis is stopped." in run("why", "1").out
    assert not (home / "redis.sock").exists()
    client.broker.connect()
    said = run("why", "1").out
    assert "A slot is free on fake: it should start within two seconds." in said
    assert "Redis" not in said


def test_a_redis_server_that_is_down_is_named_without_its_password(
    run: Cli, client: Client, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(client)
    worker.arrive("default")
    monkeypatch.setenv("CVQ_BROKER_URL", "redis://:secret@127.0.0.1:1/0")
    said = run("why", "1").out
    assert "some seconds later: Redis at redis://127.0.0.1:1/0 does not answer" in said
    assert "secret" not in said


def test_an_unknown_job(run: Cli) -> None:
    assert "no job 9" in run("why", "9", code=2).err
