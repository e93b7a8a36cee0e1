"""`cvq worker` and `cvq workers`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from .. import formats, options
from ..display import Listing, display_list
from ..output import Column
from ..widths import items

if TYPE_CHECKING:
    from cvq.records import Worker

NO_WORKERS = "no workers: `cvq up -d` starts one"


@click.command(
    epilog="\b\nExamples:\n  cvq worker                          one slot for each GPU"
    "\n  cvq worker --gpus 0,2 --slots-per-gpu 2"
    "\n  cvq worker --gpus none --cpu-slots 4"
)
@click.option(
    "--gpus",
    metavar="all|none|GPU,...",
    help="GPUs to compute on, by their numbers in nvidia-smi or their UUIDs.  [default: all]",
)
@click.option("--slots-per-gpu", metavar="N", help="Jobs at a time on each GPU.  [default: 1]")
@click.option(
    "--cpu-slots",
    metavar="N",
    help="Jobs at a time on the processor.  [default: one where there is no GPU]",
)
@click.option("--slots", metavar="N", help="Jobs at a time altogether, shared out evenly.")
@options.flag("--share-gpu", help="Let other workers that are started with this use these GPUs.")
@click.option(
    "--queues",
    metavar="NAME,...",
    help="Queues to serve.  [default: all that this machine can serve]",
)
@click.option(
    "--name", metavar="NAME", help="The worker's name.  [default: derived from the host's]"
)
@click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
@click.option("--log-format", metavar="FORMAT", help="text or json.  [default: text]")
@click.option(
    "--lease", metavar="SECONDS", help="How long it may be silent before its jobs go to others."
)
@click.option(
    "--metrics-port", metavar="N",
    help="Serve figures for Prometheus at this port; 0 is any that is free.",
)  # fmt: skip
@click.option(
    "--metrics-host", metavar="ADDRESS",
    help="At which of this machine's addresses.  [default: 127.0.0.1]",
)  # fmt: skip
@options.flag("--burst", help="Exit when nothing is queued.")
def worker(burst: bool, share_gpu: bool, **given: str | None) -> None:
    """Run a worker, which takes jobs and runs them.

    It runs until Ctrl-C or SIGTERM; then it takes no more jobs, gives running ones a short time
    to finish and requeues the rest. `cvq up` starts several.
    """
    from .. import processes

    words = [
        word
        for name, value in given.items()
        if value is not None
        for word in (f"--{name.replace('_', '-')}", value)
    ]
    words += [flag for flag, is_on in (("--burst", burst), ("--share-gpu", share_gpu)) if is_on]
    command = processes.command(words)
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - the worker takes this process's place


@click.command(epilog="\b\nExamples:\n  cvq workers\n  cvq workers --json")
@options.flag("--all", "everything", help="Include workers that have left.")
@options.as_json
@options.as_csv
@options.as_md
@options.quiet
@options.watching
def workers(everything: bool, watch: bool) -> None:
    """List workers."""
    from cvq import queries
    from cvq.client import Client

    client = Client()

    def look() -> list[Worker]:
        with client.db.read() as connection:
            return queries.workers(connection, also_gone=everything)

    if watch:
        from ..live import repeat
        from ..output import table

        repeat(
            look, lambda rows: table(columns(), rows), lambda rows: display_list(listing(), rows)
        )
    display_list(listing(), look())


def listing() -> Listing[Worker]:
    """A list of workers in every form."""
    from cvq.views import shapes

    return Listing(
        columns=columns,
        shape=lambda rows: map(shapes.worker, rows),
        quiet=lambda row: row.id,
        empty=NO_WORKERS,
    )


def columns() -> list[Column[Worker]]:
    """What a list of workers shows."""
    from cvq.views.shapes import worker_state

    now = datetime.now().astimezone()
    return [
        Column("id", lambda row: row.id, least=16, after=1),
        Column("state", worker_state, style=lambda row: formats.STATE_STYLES[worker_state(row)]),
        Column("host", lambda row: row.host, rank=2, least=12),
        Column("pid", lambda row: str(row.pid), right=True, rank=6),
        Column("devices", lambda row: ",".join(row.devices), rank=3, least=8, short=items),
        Column("slots", lambda row: str(row.slots), right=True, rank=5),
        Column("queues", lambda row: _listed(row.queues), rank=4, least=8, short=items),
        Column("running", lambda row: _ranges(row.running), rank=1, least=8, short=items),
        Column(
            "up",
            lambda row: formats.age(row.started_at, now),
            lambda row: row.started_at.isoformat(),
            "started_at",
            right=True,
            rank=7,
        ),
    ]


def _listed(values: Sequence[object]) -> str:
    return ",".join(map(str, values))


def _ranges(ids: Sequence[int]) -> str:
    """Ids as they may be typed, `3-258,260`: a warm slot has many jobs at a time."""
    found: list[list[int]] = []
    for number in sorted(ids):
        if found and found[-1][-1] == number - 1:
            found[-1].append(number)
        else:
            found.append([number])
    return _listed([f"{run[0]}-{run[-1]}" if len(run) > 2 else _listed(run) for run in found])
