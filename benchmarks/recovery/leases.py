"""How well leases tell who is alive, and how soon the jobs of the dead begin again."""

from __future__ import annotations

import time

from benchmarks.storm.cluster import Cluster, Worker
from benchmarks.storm.ledger import parse_ledger

from .measure import (
    PATIENCE_S,
    begins_of,
    cluster,
    ledger_lines,
    must,
    quantiles,
    say,
)


def lease() -> bool:
    """A job a hundred times as long as its lease, with two idle workers beside its own."""
    with cluster(3, lease=1.0) as made:
        handle = made.client.submit(
            "storm", ledger=str(made.ledger), number=0, steps=100, pause=1.0
        )
        handle.wait(PATIENCE_S + 100)
        begins = [line for line in parse_ledger(ledger_lines(made)) if line.act == "begin"]
    good = len(begins) == 1 and handle.attempt == 1
    return say(
        f"job of 100 s under a lease of 1 s, 2 idle workers: begun {len(begins)} time(s)",
        good=good,
    )


def kill() -> bool:
    """SIGKILL of a worker, until its job begins elsewhere; fifty times for each lease."""
    good = True
    for length, within in ((30.0, 35.0), (5.0, 10.0)):
        times: list[float] = []
        with cluster(10, lease=length) as made:
            while len(times) < 50:
                times += _kill_workers(made, min(5, 50 - len(times)))
        ok = sorted(times)[int(0.99 * len(times))] <= within
        good &= say(f"worker killed to job begun elsewhere, lease {length:g} s, "
                    f"{len(times)} kills: {quantiles(times)} (within {within:g} s)",
                    good=ok)  # fmt: skip
    return good


def _kill_workers(made: Cluster, number: int) -> list[float]:
    """Kill the workers of so many jobs at once, replace them, and wait for the jobs."""
    handles = [
        made.client.submit("storm", ledger=str(made.ledger), number=0, steps=10_000, pause=1.0)
        for _ in range(number)
    ]
    must(lambda: all(begins_of(made, handle.id) for handle in handles), "the jobs begin")
    killed: dict[int, float] = {}
    for handle in handles:
        owner = handle.refresh().lease_owner
        worker = next(worker for worker in made.up() if worker.id == owner)
        _kill(worker)
        killed[handle.id] = time.monotonic()
    must(
        lambda: all(len(begins_of(made, handle.id)) == 2 for handle in handles), "they begin again"
    )
    took = [(begins_of(made, job)[1] - at) for job, at in killed.items()]
    for handle in handles:
        handle.cancel()
        made.start_worker()
    must(lambda: len(made.up()) == made.options.workers, "new workers come up")
    must(lambda: all(handle.refresh().finished for handle in handles), "the jobs are cancelled")
    return took


def _kill(worker: Worker) -> None:
    worker.leaving = "killed"
    worker.process.kill()
    worker.process.wait()
