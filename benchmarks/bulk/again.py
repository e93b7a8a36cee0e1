"""A folder is submitted again: what that costs where nothing has changed, and where a little has.

python -m benchmarks.bulk.again [--items 100000] [--folder DIR] [--new 0.01]

The files are tiny, a thousand in each folder, and are drawn first where there are none; those that
are new at the end are removed afterwards. A worker with one slot answers them with checksums.
Seconds are of the wall and of this process's CPU, from the call of `submit_many` to its end.
"""

from __future__ import annotations

import resource
import shutil
import time
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from benchmarks.bulk.site import Site, opened, pictures
from benchmarks.machine import describe
from cvq.batch_handle import BatchHandle

_IN_A_FOLDER = 1_000


@click.command()
@click.option("--items", default=100_000, show_default=True, help="Files, where none are there.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where they lie.")
@click.option("--new", default=0.01, show_default=True, help="Which share is added at the end.")
def main(items: int, folder: Path | None, new: float) -> None:
    """Print what each submission took."""
    print(describe())
    with TemporaryDirectory(prefix="cvq-") as home, opened(Path(home)) as site:
        folder = folder or Path(home) / "pictures"
        if not folder.exists():
            draw(folder, items)
        first = submit(site, folder, "first")
        with site.worker():
            began = time.perf_counter()
            first.wait()
            print(f"answered: {first.batch.items / (time.perf_counter() - began):.0f} items/s")
        submit(site, folder, "unchanged")
        added = folder / f"new-{uuid.uuid4().hex[:8]}"
        try:
            draw(added, round(first.batch.items * new))
            submit(site, folder, f"{new:.0%} new")
        finally:
            shutil.rmtree(added, ignore_errors=True)


def draw(folder: Path, count: int) -> None:
    """So many different pictures, a thousand in each folder below."""
    for number, (name, content) in enumerate(pictures(count)):
        below = folder / f"{number // _IN_A_FOLDER:05}"
        if number % _IN_A_FOLDER == 0:
            below.mkdir(parents=True)
        (below / name).write_bytes(content)


def submit(site: Site, folder: Path, what: str) -> BatchHandle:
    """Submit the folder, and print what that took."""
    began, used = time.perf_counter(), time.process_time()
    handle = site.client.submit_many("checksum", folder, single=True)
    took, used = time.perf_counter() - began, time.process_time() - used
    batch = handle.batch
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(
        f"{what}: {batch.items} items, {batch.known} known, {batch.jobs} jobs: {took:.1f} s, "
        f"{used:.1f} s of CPU, {1e6 * used / batch.items:.0f} µs of it an item; "
        f"{peak} MiB at most so far"
    )
    return handle


if __name__ == "__main__":
    main()
