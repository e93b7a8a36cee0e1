"""A worker's log as JSON, and its figures, from a real worker."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable

import pytest

from conftest import Worker
from cvq import Client
from cvq_workers.json_log import JsonFormatter
from waiting import HANG_S, eventually


@pytest.mark.parametrize(
    ("message", "job", "attempt"),
    [
        ("job 12 attempt 3: vae on cpu", 12, 3),
        ("job 12: attempt 3 is no longer the running one", 12, 3),
        ("micro-batch of job 7, classify on cpu: 2 succeeded", 7, None),
        ("worker w is up", None, None),
    ],
)
def test_a_line_names_its_job(message: str, job: int | None, attempt: int | None) -> None:
    record = logging.LogRecord("cvq.worker", logging.INFO, "", 0, message, (), None)
    line = json.loads(JsonFormatter().format(record))
    assert (line["job"], line["attempt"], line["message"]) == (job, attempt, message)


def test_a_worker_tells_what_it_does(client: Client, start_worker: Callable[..., Worker]) -> None:
    worker = start_worker("--log-format", "json", "--metrics-port", "0")
    job = client.submit("selftest", steps=1).wait(HANG_S)

    def lines() -> list[dict[str, object]]:
        said = worker.log.read_text().splitlines()
        return [json.loads(line) for line in said if line.startswith("{")]

    ended = eventually(lambda: [line for line in lines() if "succeeded" in str(line["message"])])
    assert (ended[0]["job"], ended[0]["attempt"]) == (job.id, 1)
    assert eventually(lambda: [line for line in lines() if "figures" in str(line["message"])])
    [url] = [
        found[0] for line in lines() if (found := re.search(r"http://\S+", str(line["message"])))
    ]
    with urllib.request.urlopen(url) as answer:
        told = answer.read().decode()
    assert 'cvq_worker_attempts_total{kind="selftest",state="succeeded"} 1.0' in told


@pytest.mark.slow
@pytest.mark.parametrize("port", ["-1", "65536", "none"])
def test_a_port_that_cannot_be(port: str) -> None:
    command = [sys.executable, "-m", "cvq_workers", "--metrics-port", port]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--metrics-port" in done.stderr
