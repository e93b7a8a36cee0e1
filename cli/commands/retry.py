"""`cvq retry JOB…`: what has failed, or was cancelled, again: by reference or by filter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from cvq.errors import UsageError
from cvq.states import State

from .. import options, resolving
from ..batch_table import shape
from ..choosing import agreed_on, chosen, show_jobs
from ..display import Form, display, form
from ..formats import clean, count, title
from ..output import note, say, say_each

if TYPE_CHECKING:
    from cvq.batch import Batch
    from cvq.client import Client
    from cvq.job_list import JobList
    from cvq.parse import Reference
    from cvq.records import Job

_MOST_TOLD = 20  # jobs, a line each


@click.command(
    epilog="\b\nExamples:\n  cvq retry 17\n  cvq retry 12,20-24\n  cvq retry --since today"
    "\n  cvq retry --batch @ --failed --cancelled\n  cvq retry --kind vae --reason oom -y"
    "\n\n`cvq rerun` makes a new job from an old one, with other values if you like."
)
@click.argument(
    "references", metavar="[JOB]...", type=options.CommaList(options.REFERENCE), nargs=-1
)
@options.filters
@options.flag("--failed", help="What has failed.  [default: where no JOB is given]")
@options.flag("--cancelled", help="What was cancelled.")
@options.yes
@options.flag("--dry-run", help="Only list what would be tried again.")
@options.as_json
@options.quiet
def retry(
    references: Sequence[list[Reference]],
    failed: bool,
    cancelled: bool,
    yes: bool,
    dry_run: bool,
    **filters: Any,
) -> None:
    """Queue again what has failed, or was cancelled.

    JOB is an id, a range 3-7, @ (your last) or @~1 (the one before). Filters choose among these,
    or among all that have failed. The jobs stay those that they are: their attempts count on, and
    each goes on from its last checkpoint. One that has succeeded is not tried again.
    """
    from cvq.client import Client

    client = Client()
    asked = [State.FAILED] * failed + [State.CANCELLED] * cancelled
    if asked and filters["state"]:
        raise UsageError("give --state, or --failed and --cancelled")
    only_batches = [name for name, given in filters.items() if given] == ["batch"]
    if only_batches and not (references or dry_run):
        numbers = resolving.resolve_batches(client, resolving.flat(filters["batch"]))
        _retry_batches(client, numbers, failed=failed or not cancelled, cancelled=cancelled)
        return
    filters["state"] = [list(map(str, asked))] if asked else filters["state"]
    ids = _chosen(client, resolving.flat(references), filters)
    if not ids:
        note("no jobs to try again")
    elif dry_run:
        show_jobs(client, ids)
    elif len(ids) > 1 and not agreed_on(client, ids, "Try again", yes=yes):
        note("nothing is tried again")
    else:
        _tell(client, ids, client.retry(ids))


def _chosen(
    client: Client, references: Sequence[Reference], filters: dict[str, Any]
) -> Sequence[int]:
    from cvq.views import filters as views

    if not any(filters.values()):
        if not references:
            raise UsageError("which jobs? Give JOB, or a filter such as --batch 3 or --kind vae")
        return resolving.resolve(client, references)
    if not references:
        filters["state"] = filters["state"] or [[State.FAILED]]
    wanted = chosen(client, references, filters, sort="id")
    assert wanted is not None
    with client.db.read() as connection:
        return views.ids(connection, wanted)


def _tell(client: Client, ids: Sequence[int], again: JobList) -> None:
    from cvq import queries
    from cvq.lifecycle.retrying import why_not

    display(
        again,
        json=lambda again: [client.to_json(each) for each in again],
        quiet=lambda again: say_each(each.id for each in again),
        text=lambda again: say_each(_lines([each.job for each in again])),
    )
    tried = {each.id for each in again}
    left = [job_id for job_id in ids if job_id not in tried]
    with client.db.read() as connection:
        jobs = queries.jobs_in_order(connection, left[:_MOST_TOLD])
    for job in jobs:
        note(why_not(job) or f"job {job.id} was not tried again: it was being changed")
    if len(left) > len(jobs):
        note(f"… and {count(len(left) - len(jobs), 'more job')}")


def _lines(jobs: Sequence[Job]) -> list[str]:
    if len(jobs) > _MOST_TOLD:
        return [f"{count(len(jobs), 'job')} to be tried again"]
    return [
        f"job {job.id} ({clean(job.kind)} {title(job)}) is to be tried again".replace(" )", ")")
        for job in jobs
    ]


def _retry_batches(
    client: Client, numbers: Sequence[int], *, failed: bool, cancelled: bool
) -> None:
    """Whole batches, each in one step."""
    handles = [client.batch(number) for number in numbers]
    tried = [handle.retry(failed=failed, cancelled=cancelled) for handle in handles]
    batches = [handle.batch for handle in handles]
    if form() is Form.TEXT:
        for batch, number in zip(batches, tried, strict=True):
            _tell_batch(batch, number, failed=failed)
        return
    display(
        batches,
        json=lambda batches: [shape(batch) for batch in batches],
        quiet=lambda batches: say_each(batch.id for batch in batches),
        text=lambda batches: None,
    )


def _tell_batch(batch: Batch, number: int, *, failed: bool) -> None:
    say(f"batch {batch.id}: {count(number, 'job')} to be tried again")
    left = batch.states.get(State.FAILED, 0)
    if failed and left:
        note(f"{count(left, 'job')} cannot be tried again: `cvq ls --batch {batch.id} --state "
             "failed` lists them")  # fmt: skip
