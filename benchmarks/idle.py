"""What a worker costs that has nothing to do, against a Celery worker that is not cvq's.

python -m benchmarks.idle [--seconds 60]

Exits with 1 where worker, fork server and Redis together take more than 1 % of a core.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
import psutil

from benchmarks.machine import describe
from cvq import Client, Settings, queries
from cvq.broker.embedded import stop_redis

TARGET = 1.0  # % of a core
_SETTLE_S = 20.0  # PyTorch is loaded, Celery has said what it has to say
_BARE = "import celery, sys; celery.Celery(broker=sys.argv.pop()).worker_main(['worker', '-P', 'threads', '-c', '1'])"  # noqa: E501


@click.command()
@click.option("--seconds", default=60.0, show_default=True, help="How long to look.")
def main(seconds: float) -> None:
    """Print processor time as a share of a core."""
    print(describe())
    with tempfile.TemporaryDirectory(prefix="cvq-idle-") as folder:
        home = Path(folder)
        client = Client(Settings.load(home=home))
        broker = client.broker.celery_url()
        started = [
            _start([sys.executable, "-m", "cvq_workers", "--gpus", "none"], home),
            _start([sys.executable, "-c", _BARE, broker], home),
        ]
        try:
            _until_up(client)
            time.sleep(_SETTLE_S)
            server = psutil.Process(int((home / "redis.pid").read_text()))
            worker, bare = (psutil.Process(process.pid) for process in started)
            groups = {
                "worker": [worker],
                "its fork server": worker.children(recursive=True),
                "the embedded Redis, of both": [server],
                "a bare Celery worker": [bare],
            }
            shares = _shares(groups, seconds)
        finally:
            for process in started:
                process.terminate()
                process.wait()
            stop_redis(home)
            client.db.engine.dispose()
    for name, share in shares.items():
        print(f"{name:28} {share:5.2f} % of a core")
    own = sum(list(shares.values())[:3])
    print(f"{'an idle worker altogether':28} {own:5.2f} % of a core (target: {TARGET:g} %)")
    sys.exit(own > TARGET)


def _start(command: Sequence[str], home: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "CVQ_HOME": str(home)}
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, env=environment, cwd=home, stdout=quiet, stderr=quiet)


def _until_up(client: Client) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with client.db.read() as connection:
            if queries.live_workers(connection):
                return
        time.sleep(0.2)
    raise SystemExit("the worker does not come up")


def _shares(groups: dict[str, list[psutil.Process]], seconds: float) -> dict[str, float]:
    """The percentage of a core that each group of processes takes."""

    def spent(processes: list[psutil.Process]) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in processes)

    before = {name: spent(processes) for name, processes in groups.items()}
    began = time.monotonic()
    time.sleep(seconds)
    lasted = time.monotonic() - began
    return {
        name: 100 * (spent(processes) - before[name]) / lasted
        for name, processes in groups.items()
    }


if __name__ == "__main__":
    main()
