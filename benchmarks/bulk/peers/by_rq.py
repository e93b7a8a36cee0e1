"""RQ: a job for each picture, queued in bulk; results in Redis, where RQ keeps them.

The worker is RQ's `SimpleWorker`, which does not fork for each job: its quickest.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from redis import Redis
from rq import Queue

from benchmarks.bulk.peers.common import Peer, answer, redis_url, running
from benchmarks.bulk.site import Site

_QUEUE = "peer"


def worker(site: Site, model: Path) -> AbstractContextManager[None]:
    """A worker of RQ's."""
    given = ["--url", redis_url(site), "--worker-class", "rq.SimpleWorker", "--quiet"]
    return running(site, model, ["rq.cli", "worker", *given, _QUEUE], {})


def rate(site: Site, files: Sequence[Path]) -> float:
    """Pictures a second, from the first job queued to the last result in Redis."""
    queue = Queue(_QUEUE, connection=Redis.from_url(redis_url(site)))
    queue.enqueue(answer, str(files[0]))  # the model is loaded after this
    _await(queue, 1)
    began = time.perf_counter()
    queue.enqueue_many([Queue.prepare_data(answer, (str(file),)) for file in files])
    _await(queue, 1 + len(files))
    return len(files) / (time.perf_counter() - began)


def _await(queue: Queue, count: int) -> None:
    while queue.finished_job_registry.count < count:
        if queue.failed_job_registry.count:
            raise SystemExit("a job of RQ's has failed")
        time.sleep(0.02)


PEER = Peer("RQ, results in Redis", worker, rate)
