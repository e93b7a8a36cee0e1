"""`cvq cancel JOB…`: by reference or by filter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from cvq.errors import UsageError
from cvq.states import State

from .. import options
from ..display import Form, display, display_list, form
from ..formats import clean, title
from ..job_table import listing
from ..output import note, say_each, show_table

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.parse import Reference
    from cvq.records import Job

_UNFINISHED = (State.WAITING, State.QUEUED, State.RUNNING)


@click.command(
    epilog="\b\nExamples:\n  cvq cancel @\n  cvq cancel 3-7 -y"
    "\n  cvq cancel --all\n  cvq cancel --user ada --kind style-transfer --status queued"
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
    jobs = _chosen(client, references, filters)
    if not jobs and form() is Form.TEXT:
        note("no jobs to cancel")
        return 0
    if dry_run:
        display_list(listing(client), jobs)
        return 0
    if len(jobs) > 1 and not yes and not _confirmed(client, jobs):
        note("nothing was cancelled")
        return 0
    done = [(job, client.cancel(job).job) for job in jobs]
    display(
        done,
        json=lambda done: [client.to_json(after) for _, after in done],
        quiet=lambda done: say_each(str(after.id) for _, after in done),
        text=lambda done: say_each(_what_happened(before, after) for before, after in done),
    )
    return 0


def _chosen(client: Client, references: Sequence[Reference], filters: dict[str, Any]) -> list[Job]:
    filtered = any(filters.values())
    if not references and not filtered:
        raise UsageError("which jobs? Give JOB, --all (yours) or a filter such as --status queued")
    for remark in client.check_filter(options.make_filter(**filters)):
        note(remark)
    if not references:
        filters["status"] = filters["status"] or [list(_UNFINISHED)]
        return options.find(client, options.make_filter(**filters, sort="id"))
    jobs = [client.job(job_id).job for job_id in options.resolve(client, references)]
    if not filtered:
        return jobs
    wanted = {job.id for job in options.find(client, options.make_filter(**filters))}
    return [job for job in jobs if job.id in wanted]


def _confirmed(client: Client, jobs: Sequence[Job]) -> bool:
    """Ask a person; a program that names several jobs means it."""
    import sys

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    show_table(listing(client).columns(), jobs[:20])
    if len(jobs) > 20:
        note(f"… and {len(jobs) - 20} more")
    return click.confirm(f"Cancel these {len(jobs)} jobs?", err=True)


def _what_happened(before: Job, after: Job) -> str:
    what = f"job {after.id} ({clean(after.kind)} {title(after)})".replace(" )", ")")
    if before.finished:
        return f"{what} had already ended ({before.state})"
    if after.finished:
        return f"{what} is {after.state}"
    return f"{what} is running and will stop"
