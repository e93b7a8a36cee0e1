"""Plain Celery: a task for each picture, Redis between, results in a database.

    celery -A benchmarks.bulk.peer worker

The pool is `solo`, one process and no fork, which is Celery's quickest for such tasks.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from celery import Celery

from benchmarks.bulk.site import ROOT, Site

_MODEL, _BROKER, _BACKEND = "PEER_MODEL", "PEER_BROKER", "PEER_BACKEND"

app = Celery("peer", broker=os.environ.get(_BROKER), backend=os.environ.get(_BACKEND))
app.conf.update(
    task_serializer="json",
    accept_content=["json"],
    task_default_queue="peer",
    worker_prefetch_multiplier=64,
    broker_connection_retry_on_startup=True,
)


@cache
def _classifier() -> Any:
    from benchmarks.bulk.answers import Classifier

    return Classifier(Path(os.environ[_MODEL]))


@app.task(name="classify")
def classify(path: str) -> dict[str, Any]:
    """The answer of one picture."""
    answer: dict[str, Any] = _classifier().one(path)
    return answer


@contextmanager
def worker(site: Site, model: Path) -> Iterator[None]:
    """A worker of Celery's with one process, as long as the block lasts."""
    environment = site.environment | _settings(site, model)
    words = [
        "-m",
        "celery",
        "-A",
        "benchmarks.bulk.peer",
        "worker",
        "-P",
        "solo",
        "-Q",
        "peer",
        "--loglevel",
        "error",
    ]
    process = subprocess.Popen([sys.executable, *words], env=environment, cwd=ROOT)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def rate(site: Site, files: Sequence[Path], model: Path) -> float:
    """Pictures a second, from the first task sent to the last result in the database."""
    settings = _settings(site, model)
    app.conf.update(broker_url=settings[_BROKER], result_backend=settings[_BACKEND])
    classify.delay(str(files[0]))  # the model is loaded after this
    _await(site, 1)
    began = time.perf_counter()
    with app.producer_pool.acquire() as producer:
        for file in files:
            classify.apply_async([str(file)], producer=producer)
    _await(site, 1 + len(files))
    return len(files) / (time.perf_counter() - began)


def _settings(site: Site, model: Path) -> dict[str, str]:
    return {
        _MODEL: str(model),
        _BROKER: site.client.broker.celery_url(),
        _BACKEND: f"db+sqlite:///{site.home / 'peer.db'}",
    }


def _await(site: Site, count: int) -> None:
    """Wait until so many results are in the database."""
    while True:
        try:
            with sqlite3.connect(site.home / "peer.db") as database:
                query = "SELECT count(*) FROM celery_taskmeta WHERE status = 'SUCCESS'"
                if database.execute(query).fetchone()[0] >= count:
                    return
        except sqlite3.OperationalError:  # not made yet, or locked
            pass
        time.sleep(0.02)
