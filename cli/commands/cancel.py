"""`cvq cancel JOB…`: by reference or by filter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from cvq.errors import UsageError
from cvq.states import State
from cvq.text import join

from .. import options, resolving, sweeping
from ..batch_table import shape
from ..choosing import agreed, agreed_on
from ..display import Form, display, display_list, form
from ..formats import clean, count, title
from ..job_table import listing
from ..output import note, say_each

if TYPE_CHECKING:
    from cvq.batch import Batch
    from cvq.client import Client
    from cvq.parse import Reference
    from cvq.records import Job

_MOST_TOLD = 20  # jobs of a batch, a line each
_UNFINISHED = (State.WAITING, State.QUEUED, State.RUNNING)


@click.command(
    epilog="\b\nExamples:\n  cvq cancel @\n  cvq cancel 3-7 -y"
    "\n  cvq cancel --all\n  cvq cancel --batch 3\n  cvq cancel --sweep 3"
    "\n  cvq cancel --user ada --kind style-transfer --state queued"
)
@click.argument("references", metavar="[JOB]...", type=options.REFERENCE, nargs=-1)
@options.filters
@options.flag("--all", "everything", help="All your unfinished jobs, or those of --user.")
@options.yes
@options.flag("--dry-run", help="Only list what would be cancelled.")
@options.as_json
@options.quiet
def cancel(
    references: Sequence[Reference],
    everything: bool,
    yes: bool,
    dry_run: bool,
    **filters: Any,
) -> int:
    """Cancel jobs, queued or running.

    JOB is an id, a range 3-7, @ (your last) or @~1 (the one before). Filters choose among these,
    or among all unfinished jobs. A running job stops within a second or so.
    """
    from cvq.client import Client

    client = Client()
    if everything:
        if references:
            raise UsageError("give JOB, or --all")
        filters["user"] = filters["user"] or [[client.settings.user]]
    some = bool(references) or everything or dry_run
    if not some and _only(filters, "batch"):
        return _cancel_batches(
            client, resolving.resolve_batches(client, resolving.flat(filters["batch"])), yes
        )
    if not some and _only(filters, "sweep"):
        sweeping.cancel(
            client, resolving.resolve_sweeps(client, resolving.flat(filters["sweep"])), yes=yes
        )
        return 0
    jobs = _chosen(client, references, filters)
    if not jobs and form() is Form.TEXT:
        note("no jobs to cancel")
        return 0
    if dry_run:
        display_list(listing(client), jobs)
        return 0
    ids = [job.id for job in jobs]
    if len(jobs) > 1 and not agreed_on(client, ids, "Cancel", yes=yes):
        note("nothing was cancelled")
        return 0
    after = {job.id: job for job in client.cancel_all(jobs)}
    done = [(job, after[job.id]) for job in jobs if job.id in after]
    display(
        done,
        json=lambda done: [client.to_json(after) for _, after in done],
        quiet=lambda done: say_each(str(after.id) for _, after in done),
        text=lambda done: say_each(_lines(done)),
    )
    return 0


def _only(filters: Mapping[str, Any], name: str) -> bool:
    """Whether these are meant as a whole, as nothing is said of which of their jobs."""
    return [each for each, given in filters.items() if given] == [name]


def _cancel_batches(client: Client, numbers: Sequence[int], yes: bool) -> int:
    """Cancel whole batches, each in one step."""
    handles = [client.batch(number) for number in numbers]
    left = sum(handle.batch.jobs - handle.batch.done for handle in handles)
    of = join([f"batch {number}" for number in numbers])
    if left > 1 and not agreed(f"Cancel {left} jobs of {of}?", yes=yes):
        note("nothing was cancelled")
        return 0
    done = [(handle.cancel(), handle.batch) for handle in handles]
    display(
        done,
        json=lambda done: [shape(batch) for _, batch in done],
        quiet=lambda done: say_each(batch.id for _, batch in done),
        text=lambda done: say_each(_what_ended(*each) for each in done),
    )
    return 0


def _what_ended(number: int, batch: Batch) -> str:
    running = batch.states.get(State.RUNNING, 0)
    if not number:
        return f"batch {batch.id} had already ended"
    stopping = f", {running} of them running, which will stop" if running else ""
    return f"batch {batch.id}: {count(number, 'job')} cancelled{stopping}"


def _chosen(client: Client, references: Sequence[Reference], filters: dict[str, Any]) -> list[Job]:
    filtered = any(filters.values())
    if not references and not filtered:
        raise UsageError("which jobs? Give JOB, --all (yours) or a filter such as --state queued")
    for remark in client.check_filter(resolving.make_filter(client, **filters)):
        note(remark)
    if not references:
        filters["state"] = filters["state"] or [list(_UNFINISHED)]
        return resolving.find(client, resolving.make_filter(client, **filters, sort="id"))
    jobs = [client.job(job_id).job for job_id in resolving.resolve(client, references)]
    if not filtered:
        return jobs
    wanted = {job.id for job in resolving.find(client, resolving.make_filter(client, **filters))}
    return [job for job in jobs if job.id in wanted]


def _lines(done: Sequence[tuple[Job, Job]]) -> Iterator[str]:
    """A line for each job, and for each batch of which there are many."""
    number = Counter(after.batch for _, after in done)
    told: set[int] = set()
    for before, after in done:
        batch = after.batch
        if batch is None or number[batch] <= _MOST_TOLD:
            yield _what_happened(before, after)
        elif batch not in told:
            told.add(batch)
            yield _what_happened_to_all(batch, [pair for pair in done if pair[1].batch == batch])


def _what_happened_to_all(batch: int, done: Sequence[tuple[Job, Job]]) -> str:
    ended = sum(before.finished for before, _ in done)
    running = sum(not after.finished for _, after in done)
    told = [f"batch {batch}: {count(len(done) - ended, 'job')} cancelled"]
    told += [f"{running} of them running, which will stop"] if running else []
    told += [f"{ended} had already ended"] if ended else []
    return ", ".join(told)


def _what_happened(before: Job, after: Job) -> str:
    what = f"job {after.id} ({clean(after.kind)} {title(after)})".replace(" )", ")")
    if before.finished:
        return f"{what} had already ended ({before.state})"
    if after.finished:
        return f"{what} is {after.state}"
    return f"{what} is running and will stop"
