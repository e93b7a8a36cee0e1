"""People who know Celery find a Celery application: worker, inspect, Flower."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import TESTS, Worker
from cvq import Client, queries
from waiting import HANG_S, eventually

CELERY = Path(sys.executable).parent / "celery"


def celery(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CELERY, "-A", "cvq_workers", *arguments],
        capture_output=True, text=True, timeout=HANG_S, check=False,
    )  # fmt: skip


@pytest.fixture
def celery_worker(client: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`celery -A cvq_workers worker`, as a Celery user would type it."""
    monkeypatch.setenv("CVQ_PRELOAD", "")
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    log = client.settings.home / "celery.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [CELERY, "-A", "cvq_workers", "worker", "-c", "2", "-n", "plain@here"],
            stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip

    def entered() -> Any:
        assert process.poll() is None, log.read_text()
        with client.db.read() as connection:
            return next((w for w in queries.workers(connection) if w.pid == process.pid), None)

    yield eventually(entered, what="the Celery worker")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=HANG_S) == 0


@pytest.mark.slow
def test_a_plain_celery_worker_is_a_full_worker(
    client: Client, celery_worker: dict[str, Any]
) -> None:
    assert celery_worker.slots == 2
    job = client.submit("selftest", steps=3).wait(HANG_S)
    assert job.result["steps"] == 3
    assert job.progress["done"] == 3


def test_inspect_ping_answers(start_worker: Callable[..., Worker]) -> None:
    start_worker("--name", "pinged")

    def answers() -> str | None:
        # Celery itself waits for a second; a worker listens some time after it has entered itself.
        done = celery("inspect", "ping")
        return done.stdout if done.returncode == 0 else None

    said = eventually(answers, what="the worker to answer")
    assert "pinged@" in said
    assert "pong" in said
    assert '"pid":' in celery("inspect", "stats").stdout


@pytest.mark.slow
def test_flower_sees_the_worker_and_its_tasks(
    client: Client, start_worker: Callable[..., Worker]
) -> None:
    start_worker("--name", "flowered")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (client.settings.home / "flower.log").open("w")
    flower = subprocess.Popen(
        [CELERY, "-A", "cvq_workers", "flower", "--address=127.0.0.1", f"--port={port}"],
        stdout=log, stderr=log, env={**os.environ, "FLOWER_UNAUTHENTICATED_API": "true"},
    )  # fmt: skip

    def seen() -> Any:
        try:
            url = f"http://127.0.0.1:{port}/api/workers?refresh=1"
            with urllib.request.urlopen(url, timeout=HANG_S) as answer:
                found = json.load(answer)
        except OSError:
            assert flower.poll() is None
            return None
        mine = next((info for name, info in found.items() if name.startswith("flowered@")), {})
        # Flower asks one thing after another, and takes a while for each answer that it gets.
        return mine if {"registered", "active_queues"} <= mine.keys() else None

    try:
        info = eventually(seen, what="Flower to see the worker")
    finally:
        flower.terminate()
        flower.wait(timeout=HANG_S)
        log.close()
    assert "cvq.work" in info["registered"]
    assert any(queue["name"] == "cvq.default" for queue in info["active_queues"])
