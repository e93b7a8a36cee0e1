"""What the figures share: a cluster for each, waits, and how a figure is said."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import click

from benchmarks.storm.cluster import Cluster, wait_until
from benchmarks.storm.ledger import parse_ledger
from benchmarks.storm.plan import StormOptions
from cvq import JobHandle, queries
from cvq.records import Attempt

PATIENCE_S = 120.0


@contextlib.contextmanager
def cluster(
    workers: int,
    *,
    slots: int = 1,
    lease: float = 30.0,
    broker_url: str | None = None,
    **environment: str,
) -> Iterator[Cluster]:
    """A cluster whose workers are up."""
    options = StormOptions(jobs=0, workers=workers, slots=slots, lease=lease)
    with Cluster(options, broker_url, environment) as made:
        for _ in range(workers):
            made.start_worker()
        must(lambda: len(made.up()) == workers, "the workers come up")
        yield made
        made.drain()


def must(look: Callable[[], Any], what: str, timeout: float = PATIENCE_S) -> None:
    """Wait for something, or give up with an error."""
    if not wait_until(look, timeout):
        raise click.ClickException(f"not within {timeout:g} s: {what}")


def attempts_of(handle: JobHandle) -> list[Attempt]:
    """All attempts of a job."""
    with handle.client.db.read() as connection:
        return list(queries.attempts_of(connection, handle.id))


def say(what: str, *, good: bool) -> bool:
    """Print a figure, and whether it meets its target."""
    print(f"{'ok   ' if good else 'MISS '} {what}", flush=True)
    return good


def quantiles(seconds: list[float]) -> str:
    """Median, 99th percentile and maximum in words."""
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return f"median {ordered[len(ordered) // 2]:.2f} s, p99 {p99:.2f} s, worst {ordered[-1]:.2f} s"


def ledger_lines(made: Cluster) -> list[str]:
    """What the jobs have written into the ledger so far."""
    return made.ledger.read_text().splitlines()


def begins_of(made: Cluster, job: int) -> list[float]:
    """The monotonic times, in seconds, at which attempts of a job began."""
    return [
        line.clock
        for line in parse_ledger(ledger_lines(made))
        if line.job == job and line.act == "begin"
    ]


def all_begins(made: Cluster) -> list[float]:
    """The monotonic times, in seconds, at which attempts of any job began."""
    return sorted(line.clock for line in parse_ledger(ledger_lines(made)) if line.act == "begin")
