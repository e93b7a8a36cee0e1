"""The queue's own time: from `submit` to the first line of the job's process, worker idle.

python -m benchmarks.overhead [--jobs 50]
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from benchmarks.machine import describe
from cvq import Client, Settings, queries
from cvq.broker.embedded import stop_redis


@click.command()
@click.option("--jobs", default=50, show_default=True, help="Jobs to submit, one by one.")
def main(jobs: int) -> None:
    """Print the median and the worst, and what a bare start of PyTorch would cost instead."""
    print(describe())
    home = Path(tempfile.mkdtemp(prefix="cvq-"))
    client = Client(Settings.load(home=home))
    worker = subprocess.Popen(
        [sys.executable, "-m", "cvq_workers", "--log-level", "error"],
        env={**os.environ, "CVQ_HOME": str(home)},
    )
    try:
        _one(client)  # the fork server has loaded PyTorch after this
        times = sorted(_one(client) for _ in range(jobs))
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait()
        stop_redis(home)
        shutil.rmtree(home)
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    bare = time.perf_counter() - started
    median = statistics.median(times)
    print(f"submit to the job's first line, {jobs} jobs one by one, embedded default:")
    print(
        f"  median {median * 1000:.0f} ms, 95 % {times[int(jobs * 0.95)] * 1000:.0f} ms,", end=""
    )
    print(f" worst {times[-1] * 1000:.0f} ms")
    print(f"  a bare `python -c 'import torch'` takes {bare / median:.1f} times as long as that")


def _one(client: Client) -> float:
    submitted = datetime.now(UTC)
    job = client.submit("selftest", steps=1, pause=0.0)
    job.wait(60)
    with client.db.read() as connection:
        line = queries.logs_of(connection, job.id)[0]
    return float((line.time - submitted).total_seconds())


if __name__ == "__main__":
    main()
