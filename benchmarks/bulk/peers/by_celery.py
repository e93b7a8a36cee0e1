"""Plain Celery: a task for each picture, Redis between, results in a database.

The pool is `solo`, one process and no fork, which is Celery's quickest for such tasks.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from celery import Celery

from benchmarks.bulk.peers.common import BACKEND, BROKER, Peer, answer, running
from benchmarks.bulk.site import Site

app = Celery("peer", broker=os.environ.get(BROKER), backend=os.environ.get(BACKEND))
app.conf.update(
    task_serializer="json",
    accept_content=["json"],
    task_default_queue="peer",
    worker_prefetch_multiplier=64,
    broker_connection_retry_on_startup=True,
)
_WORKER = f"celery -A {__name__} worker -P solo -Q peer --loglevel error"


@app.task(name="classify")
def classify(path: str) -> dict[str, Any]:
    """The answer of one picture."""
    return answer(path)


def worker(site: Site, model: Path) -> AbstractContextManager[None]:
    """A worker of Celery's with one process."""
    return running(site, model, _WORKER.split(), _settings(site))


def rate(site: Site, files: Sequence[Path]) -> float:
    """Pictures a second, from the first task sent to the last result in the database."""
    settings = _settings(site)
    app.conf.update(broker_url=settings[BROKER], result_backend=settings[BACKEND])
    classify.delay(str(files[0]))  # the model is loaded after this
    _await(site, 1)
    began = time.perf_counter()
    with app.producer_pool.acquire() as producer:
        for file in files:
            classify.apply_async([str(file)], producer=producer)
    _await(site, 1 + len(files))
    return len(files) / (time.perf_counter() - began)


def _settings(site: Site) -> dict[str, str]:
    return {
        BROKER: site.client.broker.celery_url(),
        BACKEND: f"db+sqlite:///{site.home / 'peer.db'}",
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


PEER = Peer("plain Celery, results in SQLite", worker, rate)
