"""Small jobs in bulk: as separate jobs, as shards, one at a time, and with no work at all.

python -m benchmarks.bulk [--pictures 10000] [--each 2000] [--noops 20000] [--postgres URL]

Peers are Celery, and of RQ, Dramatiq and Huey those that are installed: `pip install rq dramatiq
huey`.

Everything runs with one slot and one thread of computing. Pictures are PNG files of 28×28 pixels,
the model is an `fmnist-mlp`. All sides decode and forward with the same functions, and decoding is
included everywhere.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import torch

from benchmarks.bulk.answers import Classifier
from benchmarks.bulk.peers import NAMES
from benchmarks.bulk.peers import peer as find_peer
from benchmarks.bulk.site import Site, opened
from benchmarks.machine import describe


@click.command()
@click.option("--pictures", default=10_000, show_default=True, help="Pictures to classify.")
@click.option("--each", default=2_000, show_default=True, help="Pictures that each peer gets.")
@click.option("--noops", default=20_000, show_default=True, help="Jobs that do nothing.")
@click.option("--lone", default=100, show_default=True, help="Jobs that come one by one.")
@click.option("--postgres", help="URL of an empty Postgres database, for the jobs of no work.")
def main(pictures: int, each: int, noops: int, lone: int, postgres: str | None) -> None:
    """Print rates, and their ratios to the peer's and to the floor's."""
    print(describe())
    torch.set_num_threads(1)
    with _site() as site:
        _classify(site, pictures, each, lone)
    for url in (None, postgres) if postgres else (None,):
        with _site(url) as site:
            _do_nothing(site, noops, "Postgres" if url else "SQLite")


@contextmanager
def _site(url: str | None = None) -> Iterator[Site]:
    with TemporaryDirectory(prefix="cvq-") as folder, opened(Path(folder), url) as site:
        yield site


def _classify(site: Site, pictures: int, each: int, lone: int) -> None:
    files = site.draw(pictures)
    job = site.train()
    with site.worker():
        site.client.infer("classify", files[0], model=job)  # the model is loaded after this
        separate = _batch(site, files, job, "separate jobs", each=True)
        shards = _batch(site, files, job, "jobs of a shard each", single=True)
        _ask_one_by_one(site, files[0], job, lone)
    model = site.model(job)
    for name in NAMES:
        if (peer := find_peer(name)) is None:
            print(f"{name} is not installed")
            continue
        with peer.worker(site, model):
            rate = peer.rate(site, files[:each])
        print(
            f"{peer.name}, a task for each of {min(each, len(files))}: {rate:.0f} pictures/s; "
            f"separate jobs {separate / rate:.1f} times that, shards {shards / rate:.1f} times"
        )
    classifier = Classifier(model)
    began = time.perf_counter()
    classifier.all(files)
    floor = len(files) / (time.perf_counter() - began)
    print(f"the bare model on one tensor: {floor:.0f} pictures/s; shards {shards / floor:.0%}")


def _batch(site: Site, files: list[Path], model: int, what: str, **how: bool) -> float:
    """Pictures a second, from the call of `submit_many` to the last result in the database."""
    began = time.perf_counter()
    batch = site.client.submit_many("classify", files, model=model, cache=False, **how)
    queued = time.perf_counter() - began
    batch.wait()
    took = time.perf_counter() - began
    rate = len(files) / took
    print(f"{len(files)} pictures as {what}: {rate:.0f} pictures/s, submit to last result "
          f"({queued:.1f} of {took:.1f} s until all was queued)")  # fmt: skip
    return rate


def _ask_one_by_one(site: Site, file: Path, model: int, count: int) -> None:
    times = []
    for _ in range(count):
        began = time.perf_counter()
        site.client.infer("classify", file, model=model)
        times.append(1000 * (time.perf_counter() - began))
    late = sorted(times)[int(count * 0.99)]
    print(f"a lone job on an idle warm worker, submit to answer, {count} times: "
          f"p50 {statistics.median(times):.0f} ms, p99 {late:.0f} ms")  # fmt: skip


def _do_nothing(site: Site, count: int, where: str) -> None:
    """Queue jobs that do nothing, and drain them, with their whole history."""
    began = time.perf_counter()
    batch = site.client.submit_many("noop", [[number] for number in range(count)], each=True)
    queued = count / (time.perf_counter() - began)
    with site.worker():
        while not (done := batch.refresh().batch.done):
            time.sleep(0.01)
        began = time.perf_counter()
        batch.wait()
        drained = (count - done) / (time.perf_counter() - began)
    print(f"{count} jobs of no work on {where}: queued {queued:.0f}/s, drained {drained:.0f}/s")


if __name__ == "__main__":
    main()
