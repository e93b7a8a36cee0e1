"""Huey: a task for each picture, tasks and results in SQLite by its `SqliteHuey`."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from huey import SqliteHuey

from benchmarks.bulk.peers.common import BACKEND, Peer, answer, running
from benchmarks.bulk.site import Site

_WORKER = f"huey.bin.huey_consumer {__name__}.huey --workers 1 --quiet --delay 0.01"

huey: Any = None


def _connect(path: str) -> Any:
    global huey
    huey = SqliteHuey("peer", filename=path)
    return huey.task(name="classify")(answer)


if BACKEND in os.environ:  # in a worker
    _connect(os.environ[BACKEND])


def worker(site: Site, model: Path) -> AbstractContextManager[None]:
    """A consumer of Huey's with one thread."""
    return running(site, model, _WORKER.split(), {BACKEND: str(site.home / "huey.db")})


def rate(site: Site, files: Sequence[Path]) -> float:
    """Pictures a second, from the first task sent to the last result in the file."""
    classify = _connect(str(site.home / "huey.db"))
    classify(str(files[0])).get(blocking=True)
    began = time.perf_counter()
    results = [classify(str(file)) for file in files]
    for result in results:
        result.get(blocking=True, max_delay=0.02)
    return len(files) / (time.perf_counter() - began)


PEER = Peer("Huey, results in SQLite", worker, rate)
