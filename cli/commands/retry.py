"""`cvq retry`: what has failed of a batch, or was cancelled, or some of its jobs, again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from cvq.errors import UsageError
from cvq.states import State

from .. import options, resolving
from ..batch_table import shape
from ..display import display
from ..formats import count
from ..output import note, say, say_each

if TYPE_CHECKING:
    from cvq.batch import Batch
    from cvq.client import Client
    from cvq.parse import Reference
    from cvq.records import Job


@click.command(
    epilog="\b\nExamples:\n  cvq retry 3 --failed\n  cvq retry @ --failed --cancelled"
    "\n  cvq retry --job 12,20-24"
)
@click.argument("reference", metavar="[BATCH]", type=options.BATCH, required=False)
@click.option(
    "--job",
    "jobs",
    type=options.CommaList(options.REFERENCE),
    multiple=True,
    metavar="JOB,...",
    help="These jobs alone, which have failed or were cancelled; may be repeated.",
)
@options.flag("--failed", help="What has failed.")
@options.flag("--cancelled", help="What was cancelled.")
@options.as_json
@options.quiet
def retry(
    reference: Reference | None,
    jobs: Sequence[list[Reference]],
    failed: bool,
    cancelled: bool,
) -> None:
    """Queue again what has failed of a batch.

    BATCH is an id, or @ for your last. The jobs stay those that they are, and their attempts count
    on. What was refused when it was submitted has no input to be tried again: submit it anew.
    `cvq rerun` makes a new job from an old one, with other values if you like.
    """
    from cvq.client import Client

    client = Client()
    if jobs:
        if reference is not None or failed or cancelled:
            raise UsageError("give BATCH, or --job JOB: a job's state is known")
        _retry_jobs(client, resolving.resolve(client, [one for some in jobs for one in some]))
        return
    if reference is None:
        raise UsageError("what? Give BATCH, or --job JOB")
    if not (failed or cancelled):
        raise UsageError("which jobs? Give --failed, --cancelled or both")
    handle = client.batch(resolving.resolve_batch(client, reference))
    number = handle.retry(failed=failed, cancelled=cancelled)
    display(
        handle.batch,
        json=shape,
        quiet=lambda batch: say(batch.id),
        text=lambda batch: _tell(batch, number, failed=failed),
    )


def _retry_jobs(client: Client, job_ids: Sequence[int]) -> None:
    from cvq import queries
    from cvq.batch_handle import retry_jobs

    again = retry_jobs(client, job_ids)
    with client.db.read() as connection:
        jobs = queries.get_jobs(connection, job_ids)
    display(
        jobs,
        json=lambda jobs: [client.to_json(job) for job in jobs],
        quiet=lambda _: say_each(again),
        text=lambda jobs: _tell_jobs(jobs, set(again)),
    )


def _tell_jobs(jobs: Sequence[Job], again: set[int]) -> None:
    from cvq.lifecycle.batches import was_refused

    for job in jobs:
        if job.id in again:
            say(f"job {job.id} is to be tried again")
        elif was_refused(job):
            say(f"job {job.id} was refused when it was submitted: submit its item anew")
        else:
            say(f"job {job.id} is {job.state}: there is nothing to try again")


def _tell(batch: Batch, number: int, *, failed: bool) -> None:
    say(f"batch {batch.id}: {count(number, 'job')} to be tried again")
    left = batch.states.get(State.FAILED, 0)
    if failed and left:
        note(f"{count(left, 'job')} cannot be tried again: `cvq ls --batch {batch.id} --state "
             "failed` lists them")  # fmt: skip
