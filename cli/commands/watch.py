"""`cvq watch JOB`: the log above, the progress below, until it ends; or a batch, or a sweep."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from cvq.errors import UsageError

from .. import batch_follow, options, sweep_follow
from ..display import Form, form
from ..formats import clean
from ..holdups import Holdups
from ..interrupts import Interrupts
from ..output import dump_line, on_terminal, say

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.parse import Reference
    from cvq.records import Job


_TAIL = 10


@click.command(
    epilog="\b\nExamples:\n  cvq watch @\n  cvq watch 12 --json\n  cvq watch --batch 3"
    "\n  cvq watch --sweep 3"
)
@click.argument("reference", metavar="[JOB]", type=options.REFERENCE, required=False)
@click.option(
    "--batch", type=options.BATCH, metavar="BATCH",
    help="A whole batch: an id, or @ for your last.",
)  # fmt: skip
@click.option("--sweep", type=options.SWEEP, metavar="SWEEP", help="A whole sweep, likewise.")
@click.option(
    "--tail", type=options.count(), metavar="N",
    help=f"Start with the last N lines of the log.  [default: {_TAIL}]",
)  # fmt: skip
@options.timeout
@options.form("--json", form=Form.JSON, help="Print a line of JSON at every change.")
def watch(
    reference: Reference | None,
    batch: Reference | None,
    sweep: Reference | None,
    tail: int | None,
    timeout: float | None,
) -> None:
    """Follow a job's progress and log, or a batch or a sweep, until it ends.

    JOB is an id, @ (your last) or @~1 (the one before). Of a batch it shows how many jobs are
    done, run and have failed, the first reasons for that, how fast it goes and what time is left.
    The exit code is the outcome. Ctrl-C stops watching, not the job.
    """
    from cvq.client import Client
    from cvq.handle import raise_for_state

    if [reference, batch, sweep].count(None) != 2:
        raise UsageError("what? Give JOB, --batch BATCH or --sweep SWEEP")
    if reference is None and tail is not None:
        what = "a batch" if sweep is None else "a sweep"
        raise UsageError(f"--tail is for a job's log: {what} has none, `cvq logs JOB` shows one")
    client = Client()
    if sweep is not None:
        number = options.resolve_sweeps(client, [sweep])[0]
        changes = form() is Form.JSON
        sweep_follow.follow(client.sweep_of(number), timeout=timeout, changes=changes)
        return
    if batch is not None:
        handle = client.batch(options.resolve_batch(client, batch))
        batch_follow.follow(handle, timeout=timeout, changes=form() is Form.JSON)
        return
    assert reference is not None
    job_id = options.resolve_one(client, reference)
    if form() is Form.JSON:
        job = _print_changes(client, job_id, timeout)
    else:
        job = _follow(client, job_id, _TAIL if tail is None else tail, timeout)
    raise_for_state(job)


def _print_changes(client: Client, job_id: int, timeout: float | None) -> Job:
    lines, holdups = _JsonLines(client), Holdups(client)
    with Interrupts() as interrupts:

        def look(job: Job) -> None:
            interrupts.check()
            lines(job)
            holdups(job)

        return client.job(job_id).wait(timeout, check=False, on_look=look).job


class _JsonLines:
    """Prints the job whenever anything about it has changed."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.before: Job | None = None

    def __call__(self, job: Job) -> None:
        from dataclasses import replace

        seen = replace(job, lease_until=None)  # which moves with every heartbeat
        if seen != self.before:
            self.before = seen
            dump_line(self.client.to_json(job))


def _follow(client: Client, job_id: int, tail: int, timeout: float | None) -> Job:
    from cvq.views.declared import headline_names
    from cvq.views.logs import LogReader

    from ..follow import Follower
    from ..submitting import show_outcome, show_result

    handle = client.job(job_id)
    reader = LogReader(client.db, job_id, tail=tail)
    names = headline_names(client.settings, handle.job)
    with Interrupts() as interrupts, closing(Follower(names)) as follower:
        holdups = Holdups(client, follower.say)

        def look(job: Job) -> None:
            interrupts.check()
            # Read after the job's state, so that the last look misses no line.
            for row in reader.read():
                text = clean(row.text)
                follower.say(text) if on_terminal() else say(text)
            follower(job)
            holdups(job)

        job = handle.wait(timeout, check=False, on_look=look).job
    if on_terminal():
        show_result(client, handle)
    else:
        show_outcome(client, job)
    return job
