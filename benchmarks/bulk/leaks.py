"""Whether memory or descriptors grow while many small jobs go through one warm slot.

python -m benchmarks.bulk.leaks [--jobs 5000] [--at-once 50]

Jobs are submitted a few at a time, so that there are many micro-batches. Exits with 1 where
worker or warm process end with more than they had after the first fifth.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import psutil

from benchmarks.bulk.site import Site, opened
from benchmarks.machine import describe

_MOST_BYTES = 8 << 20  # that may be noise of the allocators
_MOST_DESCRIPTORS = 4


@dataclass(frozen=True)
class Held:
    """What a process holds; `memory` in bytes."""

    memory: int
    descriptors: int
    threads: int

    @classmethod
    def by(cls, process: psutil.Process) -> Held:
        """What it holds now."""
        return cls(process.memory_info().rss, process.num_fds(), process.num_threads())

    def __str__(self) -> str:
        return (
            f"{self.memory / 1e6:.1f} MB, {self.descriptors} descriptors, {self.threads} threads"
        )


@click.command()
@click.option("--jobs", default=5000, show_default=True)
@click.option("--at-once", default=50, show_default=True, help="Jobs that are submitted together.")
def main(jobs: int, at_once: int) -> None:
    """Print what both processes hold after each fifth."""
    print(describe())
    with TemporaryDirectory(prefix="cvq-") as folder, opened(Path(folder)) as site:
        looks = list(_run(site, jobs, at_once))
    for done, held in looks:
        print(f"after {done} jobs: " + "; ".join(f"{name} {each}" for name, each in held.items()))
    (_, before), (_, after) = looks[0], looks[-1]
    sys.exit(any(_has_grown(before[name], after[name]) for name in before))


def _run(site: Site, jobs: int, at_once: int) -> Iterator[tuple[int, dict[str, Held]]]:
    """What is held by name, after every fifth of the jobs."""
    files = site.draw(at_once)
    model = site.train()
    with site.worker() as worker:
        done = 0
        for part in range(1, 6):
            while done < jobs * part // 5:
                site.client.submit_many(
                    "classify", files, model=model, each=True, cache=False
                ).wait()
                done += at_once
            processes = {"worker": worker, "warm process": _warm(worker)}
            yield done, {name: Held.by(process) for name, process in processes.items()}


def _warm(worker: psutil.Process) -> psutil.Process:
    """The warm process of a worker with one slot: of all that has no child, what holds most."""
    below = worker.children(recursive=True)
    leaves = [process for process in below if not process.children()]
    return max(leaves, key=lambda process: process.memory_info().rss)


def _has_grown(before: Held, after: Held) -> bool:
    return (
        after.memory > before.memory + _MOST_BYTES
        or after.descriptors > before.descriptors + _MOST_DESCRIPTORS
        or after.threads > before.threads
    )


if __name__ == "__main__":
    main()
