"""What a long history costs: to ask it, and to keep it.

python -m benchmarks.history [--jobs 1000000] [--points 20000000] [--home DIR] [--postgres URL]

The history is made where --home (or the database) has none, and kept: a second run begins at once.
Everything is a ratio to `cvq ls` on an empty history in the same run, by the clock of whole
processes; the list query alone is in milliseconds. `--only` measures some parts alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from benchmarks.history import commands, costs, lists, memory
from benchmarks.history.commands import Row
from benchmarks.history.places import Place, empty, prepared
from benchmarks.machine import describe

PARTS = ("commands", "lists", "costs", "memory")


@click.command()
@click.option("--jobs", default=1_000_000, show_default=True, help="Jobs of the history.")
@click.option("--points", default=20_000_000, show_default=True, help="Rows of metrics.")
@click.option(
    "--home", type=click.Path(path_type=Path), help="Where to keep it; default: nowhere."
)
@click.option("--postgres", metavar="URL", help="A Postgres database, instead of SQLite.")
@click.option("--repeat", default=15, show_default=True, help="Runs of each command and query.")
@click.option("--lives", default=300, show_default=True, help="Jobs for the cost of the indexes.")
@click.option("--only", type=click.Choice(PARTS), multiple=True, help="Measure these parts alone.")
@click.option("--calm", is_flag=True, help="Leave out the lists while slots write.")
def main(
    jobs: int, points: int, home: Path | None, postgres: str | None, repeat: int, lives: int,
    only: tuple[str, ...], calm: bool,
) -> None:  # fmt: skip
    """Print each figure, with what it is to be at most; exit with 1 where one is more."""
    print(describe())
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="cvq-")))
        place = Place(home or scratch / "many", postgres)
        there = prepared(place, jobs, points, _progress())
        print(f"{there} jobs on {'Postgres' if postgres else 'SQLite'}")
        parts: dict[str, Callable[[], Iterable[Row]]] = {
            "commands": lambda: commands.measured(
                place, stack.enter_context(empty(scratch / "empty", place)), repeat
            ),
            "lists": lambda: lists.measured(place, repeat, writing=not calm),
            "costs": lambda: costs.measured(scratch, place, lives),
            "memory": lambda: memory.measured(
                scratch,
                place,
                [max(10, jobs // 100), max(20, jobs // 10)],
                points // 10,
                _progress(),
            ),
        }
        rows = _printed(row for name in only or PARTS for row in parts[name]())
    sys.exit(any(row.most is not None and row.value > row.most for row in rows))


def _printed(rows: Iterator[Row]) -> list[Row]:
    found = []
    for row in rows:
        print(row, flush=True)
        found.append(row)
    return found


def _progress() -> Callable[[str], None]:
    began = time.perf_counter()
    return lambda what: print(f"{time.perf_counter() - began:7.1f} s  {what}", file=sys.stderr)


if __name__ == "__main__":
    main()
