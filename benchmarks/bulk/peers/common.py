"""What every peer's task does, and what its worker is told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.bulk.site import ROOT, Site, stop

BROKER, BACKEND, _MODEL = "PEER_BROKER", "PEER_BACKEND", "PEER_MODEL"


@dataclass(frozen=True)
class Peer:
    """Another task queue.

    Attributes:
        name: with where its results are kept.
        worker: a worker with one process, as long as the block lasts.
        rate: pictures a second, from the first task sent to the last result kept.
    """

    name: str
    worker: Callable[[Site, Path], AbstractContextManager[None]]
    rate: Callable[[Site, Sequence[Path]], float]


@cache
def _classifier() -> Any:
    from benchmarks.bulk.answers import Classifier

    return Classifier(Path(os.environ[_MODEL]))


def answer(path: str) -> dict[str, Any]:
    """The answer of one picture; the model is loaded once in each process."""
    found: dict[str, Any] = _classifier().one(path)
    return found


def redis_url(site: Site) -> str:
    """Redis, as its own client takes it."""
    return site.client.broker.celery_url().replace("redis+socket://", "unix://")


@contextmanager
def running(
    site: Site, model: Path, words: Sequence[str], settings: Mapping[str, str]
) -> Iterator[None]:
    """A worker of a peer, as long as the block lasts."""
    environment = site.environment | {_MODEL: str(model)} | dict(settings)
    process = subprocess.Popen([sys.executable, "-m", *words], env=environment, cwd=ROOT)
    try:
        yield
    finally:
        stop(process)
