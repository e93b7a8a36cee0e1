"""How often models are loaded where there is no room for all of them.

python -m benchmarks.bulk.loads [--jobs 300] [--models 4] [--room 2]

Jobs that ask models at random are submitted one by one, as many users do, and taken by one slot.
First in, first out would load a model whenever the next job asks another one than is held.
Exits with 1 where more than a quarter of these loads is left.
"""

from __future__ import annotations

import random
import sys
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from benchmarks.bulk.site import Site, opened
from benchmarks.machine import describe

TARGET = 0.25
_SIZE = 64 << 20  # bytes of a model


@click.command()
@click.option("--jobs", default=300, show_default=True)
@click.option("--models", default=4, show_default=True)
@click.option("--room", default=2, show_default=True, help="Models that there is memory for.")
@click.option("--seed", default=1, show_default=True)
def main(jobs: int, models: int, room: int, seed: int) -> None:
    """Print loads, and how far back a job was put for others whose model was there."""
    print(describe())
    wanted = [random.Random(seed + n).randrange(models) for n in range(jobs)]
    with TemporaryDirectory(prefix="cvq-") as folder, opened(Path(folder)) as site:
        loads, order = _run(site, wanted, room)
    plain = _in_order(wanted, room)
    late = max(place - at for place, at in enumerate(order))
    print(f"{jobs} jobs over {models} models, room for {room}: {loads} loads, "
          f"{plain} first in, first out: {loads / plain:.0%}; "
          f"a job was begun up to {late} places later than it was submitted")  # fmt: skip
    sys.exit(loads > TARGET * plain)


def _run(site: Site, wanted: Sequence[int], room: int) -> tuple[int, list[int]]:
    """How many models were loaded, and the places of the jobs in the order of their starts."""
    log = site.home / "loads"
    batches = [
        site.client.submit_many(
            "holder", [[number]], which=which, size=_SIZE, log=str(log), each=True
        )
        for number, which in enumerate(wanted)
    ]
    with site.worker(CVQ_WARM_MODELS=str(room * _SIZE + _SIZE // 2)):
        jobs = [job for batch in batches for job in batch.wait().jobs]
    started = sorted(range(len(jobs)), key=lambda place: (jobs[place].started_at, place))
    return len(log.read_text().splitlines()), started


def _in_order(wanted: Sequence[int], room: int) -> int:
    """The loads of whoever takes the jobs in their order, with the same memory."""
    held: OrderedDict[int, None] = OrderedDict()
    loads = 0
    for which in wanted:
        loads += which not in held
        held[which] = None
        held.move_to_end(which)
        if len(held) > room:
            held.popitem(last=False)
    return loads


if __name__ == "__main__":
    main()
