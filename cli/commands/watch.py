"""`cvq watch`: jobs in a live table; one with its log above and its progress below; a batch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import click

from cvq.errors import JobCancelledError, JobFailedError, UsageError
from cvq.states import State

from .. import batch_follow, options
from ..display import Form, form
from ..formats import clean
from ..holdups import Holdups
from ..interrupts import Interrupts
from ..output import dump_line, note, on_terminal, say

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.parse import Reference
    from cvq.records import Job

_TAIL = 10
_WORST_FIRST = (
    (State.FAILED, JobFailedError.exit_code),
    (State.CANCELLED, JobCancelledError.exit_code),
)


@click.command(
    epilog="\b\nExamples:\n  cvq watch\n  cvq watch @\n  cvq watch 3-9\n  cvq watch 12 --json\n"
    "  cvq watch --batch 3"
)
@click.argument("references", metavar="[JOB]...", type=options.REFERENCE, nargs=-1)
@click.option(
    "--batch", type=options.BATCH, metavar="BATCH",
    help="A whole batch: an id, or @ for your last.",
)  # fmt: skip
@click.option(
    "--sweep", type=options.SWEEP, metavar="SWEEP",
    help="A whole sweep: an id, or @ for your last.",
)  # fmt: skip
@click.option(
    "--tail", type=options.count(), metavar="N",
    help=f"Start with the last N lines of the log.  [default: {_TAIL}]",
)  # fmt: skip
@options.timeout
@options.form("--json", form=Form.JSON, help="Print a line of JSON at every change.")
def watch(
    references: Sequence[Reference], batch: Reference | None, sweep: Reference | None,
    tail: int | None, timeout: float | None,
) -> int:  # fmt: skip
    """Watch jobs live: all of yours that run or wait, some, or a single one with its log.

    Without JOB, and of several, a table shows progress, the time that is left, losses, memory and
    the time so far, until all have ended. Of a single job the log is followed, with a bar. Of a
    batch it is shown how many jobs are done, run and have failed, the first reasons for that, how
    fast it goes and what time is left; of a sweep, the best trial.

    JOB is an id, a range 3-7, @ (your last) or @~1 (the one before). The exit code is the outcome
    of the jobs that were named. Ctrl-C stops watching, not the jobs.
    """
    if sum((bool(references), batch is not None, sweep is not None)) > 1:
        raise UsageError("what? Give JOB, --batch BATCH or --sweep SWEEP")
    single = options.is_single(references)
    if tail is not None and not single:
        raise UsageError("--tail is for a job's log: name a single one, or see `cvq logs JOB`")
    if batch is not None or sweep is not None:
        _follow_group(batch, sweep, timeout)
    elif single:
        _follow_job(references[0], _TAIL if tail is None else tail, timeout)
    else:
        return _watch_jobs(references, timeout)
    return 0


def _follow_group(batch: Reference | None, sweep: Reference | None, timeout: float | None) -> None:
    from cvq.client import Client

    client, changes = Client(), form() is Form.JSON
    if batch is not None:
        handle = client.batch(options.resolve_batch(client, batch))
        batch_follow.follow(handle, timeout=timeout, changes=changes)
    if sweep is not None:
        from .. import sweep_follow

        [number] = options.resolve_sweeps(client, [sweep])
        sweep_follow.follow(client.sweep_of(number), timeout=timeout, changes=changes)


def _follow_job(reference: Reference, tail: int, timeout: float | None) -> None:
    from cvq.client import Client
    from cvq.handle import raise_for_state

    client = Client()
    job_id = options.resolve_one(client, reference)
    try:
        if form() is Form.JSON:
            job = _print_changes(client, job_id, timeout)
        else:
            job = _follow(client, job_id, tail, timeout)
    except KeyboardInterrupt:
        note(f"job {job_id} continues: `cvq watch {job_id}` follows it, "
             f"`cvq cancel {job_id}` stops it")  # fmt: skip
        raise
    raise_for_state(job)


def _watch_jobs(references: Sequence[Reference], timeout: float | None) -> int:
    """Watch several jobs, or all of the user's; the exit code of those that were named."""
    from cvq.history import History
    from cvq.views.filters import Filter
    from cvq.views.live import Watched

    from .. import live_jobs

    history = History()
    ids = options.resolve(history, references)
    scope = Filter(ids=ids) if ids else Filter(users=[history.settings.user])
    watched = Watched(scope, keeps_ended=bool(ids))
    live_jobs.watch(history, watched, lasting=bool(ids), timeout=timeout)
    if not ids:
        note("none of your jobs runs or waits")
        return 0
    with history.db.read() as connection:
        states = watched.states(connection)
    return next((code for state, code in _WORST_FIRST if state in states), 0)


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
