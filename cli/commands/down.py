"""`cvq down`: this machine's workers and the embedded Redis."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from cvq.errors import SetupError

from .. import formats, options, processes
from ..display import display
from ..output import note, say
from ..waiting import Spinner

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.records import Worker


@click.command(epilog="\b\nExamples:\n  cvq down\n  cvq down --timeout 5m")
@click.option(
    "--timeout", type=options.DURATION, metavar="DURATION",
    help="Kill workers that have not left after this long.  [default: the grace period plus 10s]",
)  # fmt: skip
@options.as_json
def down(timeout: float | None) -> None:
    """Stop this machine's workers and the embedded Redis.

    Jobs that are running go back to the queue; jobs, results and history stay.
    """
    from cvq.client import Client
    from cvq.presence import present

    client = Client()
    try:
        stopped, killed = _stop_workers(client, timeout)
    except SetupError:  # a database that is full, damaged or away
        if not present(client.settings.home):
            _stop_redis(client)  # which nothing else would ever stop
        raise
    redis = _stop_redis(client)
    display(
        {"workers": stopped, "killed": killed, "redis": redis},
        json=dict,
        text=lambda _: _tell(stopped, killed, redis=redis),
    )


def _tell(stopped: int, killed: int, *, redis: bool) -> None:
    if killed:
        note(f"{killed} had to be killed; other workers will pick up their jobs")
    say(f"{formats.count(stopped, 'worker')} stopped" + (", Redis stopped" if redis else ""))


def _stop_workers(client: Client, timeout: float | None) -> tuple[int, int]:
    found = processes.local_workers(client)
    running = {process.pid: process for _, process in found if process}
    grace = client.settings.grace + processes.LEAVE_S if timeout is None else timeout
    with closing(Spinner()) as spinner:
        killed = processes.stop(
            running.values(),
            grace,
            lambda left: spinner.show(f"waiting for {formats.count(left, 'worker')} to finish"),
        )
    gone = {process.pid for process in killed}
    _note_gone(client, [row for row, process in found if process is None or process.pid in gone])
    return len(running), len(killed)


def _note_gone(client: Client, rows: list[Worker]) -> None:
    """Say in the database what these workers can no longer say themselves."""
    from cvq.lifecycle import workers

    with client.db.write() as connection:
        for row in rows:
            workers.deregister(connection, row.id)


def _stop_redis(client: Client) -> bool:
    from cvq.broker import embedded

    return client.broker.embedded and embedded.stop_redis(client.settings.home)
