"""Redis dies with all its memory, or stays away."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from benchmarks.storm.cluster import Cluster
from cvq.broker.embedded import redis_binary
from cvq.lifecycle import jobs
from cvq.records import NewJob

from .measure import (
    PATIENCE_S,
    all_begins,
    cluster,
    must,
    say,
)


def redis() -> bool:
    """Redis killed with all its memory: with 500 jobs queued, and for a time, workers idle."""
    good = True
    with RedisServer() as server, cluster(2, broker_url=server.url) as made:
        handles = [
            made.client.submit("storm", ledger=str(made.ledger), number=n, steps=1, pause=0.02)
            for n in range(500)
        ]
        must(lambda: len(all_begins(made)) > 100, "a hundred jobs begin")
        server.kill()
        must(lambda: len(all_begins(made)) > 200, "work goes on")
        server.start()
        for handle in handles:
            handle.wait(PATIENCE_S)
        begins = all_begins(made)
        gap = max(later - earlier for earlier, later in pairwise(begins))
        good &= say(f"Redis killed and wiped among 500 queued jobs: {len(begins)} begun and done, "
                    f"longest pause between two starts {gap:.2f} s",
                    good=gap < 5 and len(begins) == 500)  # fmt: skip
        server.kill()
        time.sleep(40)  # Celery tries again less and less often
        with made.client.db.write() as connection:
            for number in range(500):
                jobs.submit(connection, _plain_job(made, number))
        committed = time.monotonic()
        must(lambda: len(all_begins(made)) > 500, "work begins without Redis")
        waited = all_begins(made)[500] - committed
        server.start()
        must(lambda: len(all_begins(made)) == 1000, "all are done")
    return good & say(f"500 jobs queued after Redis was away for 40 s, and still is: the first "
                      f"begun after {waited:.2f} s, all done", good=waited < 5)  # fmt: skip


class RedisServer:
    """A Redis that no worker starts again, on a unix socket."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="cvq-redis-"))
        self._socket = self._folder / "redis.sock"
        self.url = f"unix://{self._socket}"
        self.start()

    def start(self) -> None:
        """Start it, empty."""
        command = [redis_binary(), "--port", "0", "--unixsocket", str(self._socket)]
        self._process = subprocess.Popen(
            [*command, "--save", "", "--dir", str(self._folder)], stdout=subprocess.DEVNULL
        )
        must(self._socket.exists, "Redis starts")

    def kill(self) -> None:
        """Kill it, and its memory with it."""
        self._process.kill()
        self._process.wait()
        self._socket.unlink(missing_ok=True)

    def __enter__(self) -> RedisServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._folder)


def _plain_job(made: Cluster, number: int) -> NewJob:
    values = {"ledger": str(made.ledger), "number": number, "steps": 1, "pause": 0.02}
    spec = made.client.check("storm", **values).model_dump(mode="json")
    return NewJob("storm", spec, "0" * 64, "bench")
