"""Dramatiq: a message for each picture, results in Redis by its `Results` middleware."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results, ResultTimeout
from dramatiq.results.backends import RedisBackend

from benchmarks.bulk.peers.common import BROKER, Peer, redis_url, running
from benchmarks.bulk.peers.common import answer as answer_of
from benchmarks.bulk.site import Site

_LOOK_MS = 2_000  # shorter than a socket of Redis's client waits
_WORKER = f"dramatiq {__name__} --processes 1 --threads 1"


def _connect(url: str) -> None:
    broker = RedisBroker(url=url)
    broker.add_middleware(Results(backend=RedisBackend(url=url)))
    dramatiq.set_broker(broker)


if BROKER in os.environ:  # in a worker
    _connect(os.environ[BROKER])


def _actor() -> Any:
    @dramatiq.actor(store_results=True, actor_name="classify", queue_name="dramatiq-peer")
    def classify(path: str) -> dict[str, Any]:
        return answer_of(path)

    return classify


if BROKER in os.environ:
    _actor()


def worker(site: Site, model: Path) -> AbstractContextManager[None]:
    """A worker of Dramatiq's with one process and one thread."""
    return running(site, model, _WORKER.split(), {BROKER: redis_url(site)})


def rate(site: Site, files: Sequence[Path]) -> float:
    """Pictures a second, from the first message sent to the last result in Redis."""
    _connect(redis_url(site))
    classify = _actor()
    _await(classify.send(str(files[0])))  # the model is loaded after this
    began = time.perf_counter()
    messages = [classify.send(str(file)) for file in files]
    for message in messages:
        _await(message)
    return len(files) / (time.perf_counter() - began)


def _await(message: Any) -> None:
    while True:
        with contextlib.suppress(ResultTimeout):
            message.get_result(block=True, timeout=_LOOK_MS)
            return


PEER = Peer("Dramatiq, results in Redis", worker, rate)
