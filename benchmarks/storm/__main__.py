"""Proof that cvq loses nothing and does nothing twice while everything around it is killed.

python -m benchmarks.storm --jobs 1000 --seed 1 --minutes 10 [--database postgres]

A cluster of its own runs jobs that count their effects in a file outside of the system. Meanwhile
job processes, workers and Redis are killed and frozen, and on Postgres connections are cut, as a
plan says that is drawn from the seed. Afterwards the file is held against the database. The exit
code is 1 where anything was lost or doubled.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Mapping

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from .ledger import FINAL
from .plan import StormOptions, make_plan
from .run import run_storm

_PLAIN_EVERY_S = 10.0


class _Display:
    """Tells how the storm goes: a bar on a terminal, else a line now and then."""

    def __init__(self, options: StormOptions) -> None:
        console = Console(stderr=True)
        self._spoken = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._plain = not console.is_terminal
        self._total = options.jobs + options.items
        self._task = self._bar.add_task("the cluster starts", total=self._total)

    def __enter__(self) -> _Display:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def watch(self, seconds: float, submitted: int, states: Mapping[str, int], acts: int) -> None:
        """Show the storm as it is now."""
        final = sum(states.get(state, 0) for state in FINAL)
        live = ", ".join(f"{name} {n}" for name, n in sorted(states.items()) if name not in FINAL)
        text = f"{seconds:4.0f} s, {acts} acts, {submitted} submitted, {live or 'none open'}"
        self._bar.update(self._task, completed=final, description=text)
        if self._plain and time.monotonic() - self._spoken >= _PLAIN_EVERY_S:
            self._spoken = time.monotonic()
            print(f"{text}, {final} of {self._total} final", file=sys.stderr, flush=True)


@click.command()
@click.option("--jobs", default=1000, show_default=True, help="Jobs to submit.")
@click.option("--items", default=500, show_default=True, help="Items in batches beside them.")
@click.option("--seed", default=1, show_default=True, help="Of the plan.")
@click.option("--minutes", default=10.0, show_default=True, help="How long acts go on.")
@click.option("--database", type=click.Choice(["sqlite", "postgres"]), default="sqlite")
@click.option("--workers", default=4, show_default=True, help="Worker processes.")
@click.option("--slots", default=2, show_default=True, help="Jobs at a time of each worker.")
@click.option("--every", default=2.0, show_default=True, help="Seconds between two acts.")
@click.option("--lease", default=5.0, show_default=True, help="Lease of the workers, in seconds.")
@click.option("--settle", default=900.0, show_default=True, help="Seconds until all is final.")
@click.option("--keep", type=click.Path(), help="Folder for the ledger and the logs afterwards.")
@click.option("--schedule-only", is_flag=True, help="Print the plan as JSON, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def main(schedule_only: bool, as_json: bool, **options: object) -> None:
    """Blow a storm of kills at a cluster and say what was lost or doubled."""
    chosen = StormOptions(**options)  # type: ignore[arg-type]
    plan = make_plan(chosen)
    if schedule_only:
        print(json.dumps({"digest": plan.digest, **plan.to_json()}, indent=1))
        return
    # The end of a background job's session is an interrupt as well: both clean up.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    with _Display(chosen) as display:
        report = run_storm(chosen, display.watch)
    print(json.dumps(report.to_json(), indent=1) if as_json else "\n".join(report.lines()))
    sys.exit(0 if report.good else 1)


if __name__ == "__main__":
    main()
