"""`cvq drain WORKER…`: workers leave, on whatever machine they are."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from cvq.errors import UsageError, WaitTimeoutError
from cvq.states import Drain, WorkerState
from cvq.text import join

from .. import formats, options
from ..display import Form, form
from ..interrupts import Interrupts
from ..output import dump, hint, note, say
from ..waiting import Spinner

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.records import Worker


_LOOK_EVERY_S = 0.2
_MOST_NAMED = 3


@click.command(
    epilog="\b\nExamples:\n  cvq drain gpu-3                    all workers of that machine"
    "\n  cvq drain gpu-3.4711 --finish      the worker whose id starts with this, after its jobs"
    "\n  cvq drain gpu-3 --wait --timeout 5m && ssh gpu-3 sudo reboot"
    "\n\nExit codes: 0 asked (with --wait: left), 124 some were still there when time ran out."
)
@click.argument("names", metavar="WORKER...", type=options.WORKER, nargs=-1, required=True)
@options.flag("--finish", help="Let running jobs finish first.")
@options.flag("--wait", help="Wait until they have left.")
@click.option(
    "--timeout", type=options.DURATION, metavar="DURATION",
    help="Wait, but at most this long: 90s, 5m, 1h.",
)  # fmt: skip
@options.as_json
def drain(names: Sequence[str], finish: bool, wait: bool, timeout: float | None) -> None:
    """Ask workers to leave; their jobs are checkpointed and requeued.

    WORKER is a worker's id, the beginning of one, or a host's name (all of its workers), as
    `cvq workers` lists them. From their next heartbeat on, within a second, they take no more
    jobs. Other workers' jobs and the history are not touched.
    """
    from cvq.client import Client
    from cvq.views import shapes

    client = Client()
    rows = _ask(client, names, Drain.FINISH if finish else Drain.STOP)
    as_text = form() is Form.TEXT
    if as_text:
        for row in rows:
            say(_asked(row))
    left_over: list[Worker] = []
    if wait or timeout is not None:
        ids = [row.id for row in rows]
        left_over = _wait(client, ids, timeout)
        rows = _rows(client, ids)
    if not as_text:
        dump([shapes.worker(row) for row in rows])
    if left_over:
        raise WaitTimeoutError(
            f"{_named(left_over)} {'has' if len(left_over) == 1 else 'have'} not left after "
            f"{formats.exactly(timeout)}: draining continues; `cvq workers` shows its progress"
        )
    if as_text:
        _show_end(rows, waited=wait or timeout is not None)


def _ask(client: Client, names: Sequence[str], how: Drain) -> list[Worker]:
    """Write the order to all workers that are meant, or to none where a name is wrong."""
    from cvq import queries
    from cvq.lifecycle import workers

    with client.db.write() as connection:
        known = queries.workers(connection, also_gone=True)
        chosen = {row.id: row for name in names for row in _meant(known, name)}
        for row in chosen.values():
            workers.ask_to_drain(connection, row.id, how)
    return [replace(row, drain=how) for row in chosen.values()]


def _meant(known: Sequence[Worker], name: str) -> list[Worker]:
    """The workers that a word means: an id, a host or the beginning of an id.

    Raises:
        UsageError: it means none, several by their beginning, or only such as have left.
    """
    exact = [row for row in known if row.id == name]
    exact = exact or [row for row in known if row.host == name]
    found = exact or [row for row in known if name and row.id.startswith(name)]
    if not found:
        raise UsageError(f"no worker or host '{name}': `cvq workers` lists the workers")
    there = [row for row in found if row.state != WorkerState.GONE]
    if not there:
        raise UsageError(f"'{name}': {_named(found)} left already: `cvq workers` lists the others")
    if len(there) > 1 and not exact:
        raise UsageError(f"'{name}' is the beginning of {_named(there)}: give more of the id")
    return there


def _named(rows: Sequence[Worker]) -> str:
    more = len(rows) - _MOST_NAMED
    named = ", ".join(row.id for row in rows[:_MOST_NAMED])
    return f"worker{'s' if len(rows) > 1 else ''} {named}" + (f" and {more} more" * (more > 0))


def _asked(row: Worker) -> str:
    worker, jobs = f"worker {formats.clean(row.id)}", row.running
    if row.silent:
        return f"{worker} is silent: it leaves as soon as it is heard from again"
    if not jobs:
        return f"{worker} leaves"
    one = len(jobs) == 1
    named = f"job{'' if one else 's'} {join(jobs)}"
    if row.drain == Drain.FINISH:
        return f"{worker} leaves when {named} {'has' if one else 'have'} ended"
    return f"{worker} leaves; {named} {'goes' if one else 'go'} back to the queue"


def _rows(client: Client, ids: Collection[str]) -> list[Worker]:
    from cvq import queries

    with client.db.read() as connection:
        return [row for row in queries.workers(connection, also_gone=True) if row.id in ids]


def _wait(client: Client, ids: Collection[str], timeout: float | None) -> list[Worker]:
    """Wait until the workers have left or fallen silent; return those that are still there."""
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        with Interrupts() as interrupts, closing(Spinner()) as spinner:
            while there := [row for row in _rows(client, ids) if row.alive]:
                if deadline is not None and time.monotonic() >= deadline:
                    break
                spinner.show(f"waiting for {formats.count(len(there), 'worker')} to leave")
                interrupts.sleep(_LOOK_EVERY_S)
    except KeyboardInterrupt:
        note("draining continues: `cvq workers` shows its progress")
        raise
    return there


def _show_end(rows: Sequence[Worker], *, waited: bool) -> None:
    if not waited:
        hint("`cvq workers` shows when they have left, `--wait` waits until then")
        return
    gone = sum(row.state == WorkerState.GONE for row in rows)
    if gone:
        say(f"{formats.count(gone, 'worker')} {'has' if gone == 1 else 'have'} left")
    if silent := len(rows) - gone:
        note(f"{formats.count(silent, 'worker')} {'is' if silent == 1 else 'are'} silent: dead or "
             "cut off, and other workers take over their jobs")  # fmt: skip
