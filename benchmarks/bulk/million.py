"""A million pictures as one batch, undisturbed and while its workers are killed: the same rows.

python -m benchmarks.bulk.million [--items 1000000] [--kills 20] [--small 10000]

The pictures lie in `.tar` files, each other from all others; an `fmnist-mlp` classifies them on
one slot. Kills hit the worker and its warm process in turn, spread over the batch. Exits with 1
where a row is missing, doubled or another than in the undisturbed run, where there were fewer
kills than were asked for, and where memory was 10 % more than that of a small batch.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import psutil

from benchmarks.bulk.site import Site, opened, pictures
from benchmarks.machine import describe
from cvq.batch_handle import BatchHandle
from cvq.inputs import shards
from cvq.inputs.sources import Sources

_IN_A_TAR = 50_000
_MOST_TIMES = 1.1  # the memory that a small batch takes
_LOOK_S = 0.2
_LEASE_S = 10.0  # after which the shard of a killed worker is free


@click.command()
@click.option("--items", default=1_000_000, show_default=True)
@click.option("--kills", default=20, show_default=True)
@click.option("--small", default=10_000, show_default=True, help="Items to compare memory with.")
def main(items: int, kills: int, small: int) -> None:
    """Print rates and memory, and whether all rows are right."""
    print(describe())
    with TemporaryDirectory(prefix="cvq-") as folder, opened(Path(folder)) as site:
        site.draw(1)
        model = site.train()
        few, many = _draw(site.home / "few", small), _draw(site.home / "many", items)
        least, _ = _run(site, _submitted(site, few, model), 0)
        calm = _submitted(site, many, model)
        most, _ = _run(site, calm, 0)
        print(f"peak of worker and warm process {most / least:.2f} times that of {small} items")
        stormy = _submitted(site, many, model)
        _, killed = _run(site, stormy, kills)
        began = time.perf_counter()
        again = _submitted(site, many, model, cache=True)
        print(f"submitted again: {again.batch.known} known, {time.perf_counter() - began:.1f} s")
        same = _same(calm, stormy, items)
    sys.exit(not (same and killed == kills and most <= _MOST_TIMES * least))


def _draw(folder: Path, count: int) -> list[str]:
    """Archives of so many different pictures."""
    folder.mkdir()
    drawn, archives = pictures(count), []
    while some := list(itertools.islice(drawn, _IN_A_TAR)):
        path = folder / Path(some[0][0]).with_suffix(".tar")
        shards.write(path, some)
        archives.append(str(path))
    return archives


def _submitted(site: Site, archives: list[str], model: int, *, cache: bool = False) -> BatchHandle:
    items = Sources(site.client.settings).items(archives)
    began = time.perf_counter()
    batch = site.client.submit_many("classify", items, model=model, single=True, cache=cache)
    took = time.perf_counter() - began
    print(f"batch {batch.id}: {batch.batch.items} items in {batch.batch.jobs} jobs, queued in "
          f"{took:.1f} s")  # fmt: skip
    return batch


def _run(site: Site, batch: BatchHandle, kills: int) -> tuple[int, int]:
    """Have a batch answered.

    Returns how many bytes its processes had at most, in all, and how many were killed.
    """
    began, killed = time.perf_counter(), 0
    peak = _Peak()
    while not batch.refresh().batch.finished:
        with (
            suppress(_StruckError),
            site.worker(CVQ_LEASE=str(_LEASE_S)) as worker,
            peak.of(worker),
        ):
            while not batch.refresh().batch.finished:
                due = (killed + 1) * batch.batch.jobs // (kills + 1)
                if killed < kills and batch.batch.done >= due:
                    killed += 1
                    _strike(worker, at_worker=bool(killed % 2))
                time.sleep(_LOOK_S)
    took = time.perf_counter() - began
    batch.wait(check=False)
    print(f"batch {batch.id}: {batch.batch.items / took:.0f} items/s, {killed} kills, states "
          f"{dict(batch.states)}, {peak.bytes / 1e6:.0f} MB at most")  # fmt: skip
    return peak.bytes, killed


class _StruckError(Exception):
    """The worker was killed: the next is to start."""


def _strike(worker: psutil.Process, *, at_worker: bool) -> None:
    """Kill the worker, or all that it has started."""
    if at_worker:
        worker.kill()
        raise _StruckError
    for process in worker.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if not process.children():  # what serves, and not what starts it
                process.kill()


class _Peak:
    """The most that a worker and all below it have held, in bytes of resident memory."""

    def __init__(self) -> None:
        self.bytes = 0

    @contextmanager
    def of(self, worker: psutil.Process) -> Iterator[None]:
        """Look now and then, as long as the block lasts."""
        over = threading.Event()

        def look() -> None:
            while not over.wait(_LOOK_S):
                with suppress(psutil.Error):
                    held = [worker, *worker.children(recursive=True)]
                    self.bytes = max(self.bytes, sum(p.memory_info().rss for p in held))

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _same(calm: BatchHandle, stormy: BatchHandle, items: int) -> bool:
    """Whether two batches have the same rows, each once."""
    rows = [0, 0]
    names: set[int] = set()
    other = 0
    for one, two in itertools.zip_longest(_answers(calm), _answers(stormy)):
        rows[0] += one is not None
        rows[1] += two is not None
        names.add(hash(one and one[0]))
        other += one != two
    print(f"rows: {rows[0]} and {rows[1]} of {items}, {len(names)} names, {other} differ")
    return rows == [items, items] and len(names) == items and not other


def _answers(batch: BatchHandle) -> Iterator[tuple[str, str]]:
    """What is said of each item, but for the job that said it."""
    for row in batch.results():
        said = {name: value for name, value in row.items() if name != "job"}
        yield row["name"], json.dumps(said, sort_keys=True)


if __name__ == "__main__":
    main()
