"""Print the figures.

python -m benchmarks.recovery [lease] [kill] [redis] [causes] [cancel] [resume] [logs]

Every figure has a cluster of its own in a temporary folder, with real workers and a real Redis.
The exit code is 1 where one misses its target.
"""

from __future__ import annotations

import sys

import click

from benchmarks.machine import describe

from .broker import redis
from .cancel import cancel
from .causes import causes
from .leases import kill, lease
from .logs import logs
from .resume import resume

FIGURES = {
    figure.__name__: figure for figure in (lease, kill, redis, causes, cancel, resume, logs)
}


@click.command()
@click.argument("figures", nargs=-1, type=click.Choice(list(FIGURES)))
def main(figures: tuple[str, ...]) -> None:
    """Measure some figures, by default all of them (about a quarter of an hour)."""
    print(describe(), flush=True)
    good = [FIGURES[name]() for name in figures or FIGURES]
    sys.exit(0 if all(good) else 1)


main()
