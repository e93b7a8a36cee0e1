"""`cvq watch`: jobs in a live table; one with its log above and its progress below; a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from cvq.errors import JobCancelledError, JobFailedError, UsageError
from cvq.states import State

from .. import batch_follow, choosing, options, resolving
from ..display import Form, form
from ..exit_codes import worst
from ..formats import clean
from ..holdups import Holdups
from ..interrupts import Interrupts
from ..output import dump_line, note, on_terminal, say

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.parse import Reference
    from cvq.records import Job

_TAIL = 10
_CODES = {
    State.FAILED: JobFailedError.exit_code,
    State.CANCELLED: JobCancelledError.exit_code,
}


@click.command(
    epilog="\b\nExamples:\n  cvq watch\n  cvq watch @\n  cvq watch 3-9\n  cvq watch 12 --json\n"
    "  cvq watch --batch 3\n  cvq watch --kind vae --user ann --where 'params.epochs > 10'"
)
@click.argument("references", metavar="[JOB]...", type=options.REFERENCE, nargs=-1)
@options.filters_of_any_state
@click.option(
    "--tail", type=options.count(), metavar="N",
    help=f"Start with the last N lines of the log.  [default: {_TAIL}]",
)  # fmt: skip
@options.timeout
@options.form("--json", form=Form.JSON, help="Print a line of JSON at every change.")
def watch(
    references: Sequence[Reference], tail: int | None, timeout: float | None, **filters: Any
) -> int:
    """Watch jobs live: all of yours that run or wait, some, or a single one with its log.

    Without JOB, and of several, a table shows progress, the time that is left, losses, memory and
    the time so far, until all have ended. Of a single job the log is followed, with a bar. Of one
    batch it is shown how many jobs are done, run and have failed, the first reasons for that, how
    fast it goes and what time is left; of one sweep, the best trial.

    JOB is an id, a range 3-7, @ (your last) or @~1 (the one before); or the jobs are those that
    a filter means, as in `cvq ls`. The exit code is the outcome of the jobs that were named.
    Ctrl-C stops watching, not the jobs.
    """
    filtered = [name for name, value in filters.items() if value]
    single = resolving.is_single(references) and not filtered
    if tail is not None and not single:
        raise UsageError("--tail is for a job's log: name a single one, or see `cvq logs JOB`")
    if not references and (group := _group(filters, filtered)):
        _follow_group(*group, timeout)
    elif single:
        _follow_job(references[0], _TAIL if tail is None else tail, timeout)
    else:
        return _watch_jobs(references, filters, timeout)
    return 0


def _group(filters: Mapping[str, Any], given: Sequence[str]) -> tuple[str, Reference] | None:
    """The one batch or sweep that is asked for, and nothing else."""
    if given not in (["batch"], ["sweep"]):
        return None
    found = resolving.flat(filters[given[0]])
    return (given[0], found[0]) if resolving.is_single(found) else None


def _follow_group(what: str, reference: Reference, timeout: float | None) -> None:
    from cvq.client import Client

    client, changes = Client(), form() is Form.JSON
    if what == "batch":
        handle = client.batch(resolving.resolve_batch(client, reference))
        batch_follow.follow(handle, timeout=timeout, changes=changes)
        return
    from .. import sweep_follow

    [number] = resolving.resolve_sweeps(client, [reference])
    sweep_follow.follow(client.sweep_of(number), timeout=timeout, changes=changes)


def _follow_job(reference: Reference, tail: int, timeout: float | None) -> None:
    from cvq.client import Client
    from cvq.handle import raise_for_state

    client = Client()
    job_id = resolving.resolve_one(client, reference)
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


def _watch_jobs(
    references: Sequence[Reference], filters: Mapping[str, Any], timeout: float | None
) -> int:
    """Watch several jobs, or all of the user's; the exit code of those that were named."""
    from cvq.history import History
    from cvq.views.filters import Filter
    from cvq.views.live import Watched

    from .. import live_jobs

    history = History()
    chosen = choosing.chosen(history, references, filters)
    scope = Filter(users=[history.settings.user]) if chosen is None else chosen
    named = bool(references)
    watched = Watched(scope, keeps_ended=named)
    live_jobs.watch(history, watched, lasting=named, timeout=timeout)
    if not named:
        note(f"none of {'your' if chosen is None else 'these'} jobs runs or waits")
        return 0
    with history.db.read() as connection:
        states = watched.states(connection)
    return worst([code for state, code in _CODES.items() if state in states])


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
