"""`cvq trash`: jobs that nobody needs to see any more, until they are pruned."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from cvq.errors import UsageError
from cvq.text import count

from .. import options
from ..choosing import agreed, chosen, show_jobs
from ..display import Form, display, display_list, form
from ..output import hint, note, say, say_each
from ..stages import in_stages
from .prune import carry_out

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.parse import Reference
    from cvq.views.filters import Filter

_MANY = 20  # jobs that are named, a line each


@click.command(
    epilog="\b\nExamples:\n  cvq trash 12\n  cvq trash --kind selftest --until 7d\n"
    "  cvq trash --list\n  cvq trash --empty"
)
@click.argument("references", metavar="[JOB]...", type=options.REFERENCE, nargs=-1)
@options.filters
@options.flag("--list", "listed", help="List what is in the trash.")
@options.flag("--empty", help="Remove what is in the trash for good; by default, your jobs.")
@options.flag("--dry-run", help="Only list what would be laid in the trash, or removed.")
@options.yes
@options.as_json
@options.quiet
def trash(
    references: Sequence[Reference],
    listed: bool,
    empty: bool,
    dry_run: bool,
    yes: bool,
    **filters: Any,
) -> int:
    """Lay jobs in the trash, list it, or empty it.

    JOB and filters choose. `cvq ls` shows no job that is in the trash; `cvq restore` takes it out
    again. After CVQ_TRASH_DAYS, `cvq prune` removes it. Only jobs that have ended can be laid
    there, and a batch as a whole. JOB is an id, a range 3-7, @ (your last) or @~1 (the one
    before).
    """
    from cvq.client import Client

    client = Client()
    if listed and empty:
        raise UsageError("--list and --empty cannot be combined: give one")
    wanted = chosen(client, references, filters, trashed=listed or empty)
    if listed:
        return _list(client, wanted)
    if empty:
        return _empty(client, wanted, dry_run=dry_run, yes=yes)
    if wanted is None:
        raise UsageError("which jobs? Give JOB or a filter such as --kind; --list lists the trash")
    return _lay(client, wanted, named=bool(references), dry_run=dry_run, yes=yes)


def _list(client: Client, wanted: Filter | None) -> int:
    jobs = jobs_of(client, in_trash(client, wanted))
    show(client, jobs)
    if jobs:
        days = f"{client.settings.trash_days:g}"
        hint(f"`cvq restore JOB` takes a job out; after {days} days, `cvq prune` removes it")
    elif form() is Form.TEXT:
        note("the trash is empty")
    return 0


def _empty(client: Client, wanted: Filter | None, *, dry_run: bool, yes: bool) -> int:
    from cvq import pruning
    from cvq.views.filters import Filter

    wanted = wanted or Filter(users=[client.settings.user])
    choice = pruning.Choice(trash=wanted, trash_days=0)
    artifacts = lambda: client.artifacts  # noqa: E731
    ask = partial(pruning.estimate, client.db, artifacts, choice)
    act = partial(pruning.prune, client.db, artifacts, choice, client.settings.user)
    return carry_out(ask, act, files=False, dry_run=dry_run, yes=yes)


def _lay(client: Client, wanted: Filter, *, named: bool, dry_run: bool, yes: bool) -> int:
    from cvq.pruning import trash

    found = trash.trashable(client.db, ids_of(client, wanted))
    if named:
        found.check()
    if dry_run or not found.jobs:
        show(client, jobs_of(client, found.jobs))
        told(found.stays)
        if not found.jobs and form() is Form.TEXT:
            note("nothing to lay in the trash")
        return 0
    if len(found.jobs) > 1 and not agreed(
        f"Lay {count(len(found.jobs), 'job')} in the trash?", yes=yes
    ):
        note("nothing was laid in the trash")
        return 0
    with in_stages() as tell:
        done = trash.trash(
            client.db, found.jobs, client.settings.user, partial(tell, "laying in the trash")
        )
    say_done(client, done, "in the trash")
    told(found.stays)
    return 0


def ids_of(client: Client, wanted: Filter) -> list[int]:
    """The ids of the jobs that a filter means, in order."""
    from cvq.views import filters

    with client.db.read() as connection:
        return filters.ids(connection, wanted)


def in_trash(client: Client, wanted: Filter | None) -> list[int]:
    """Those in the trash that a filter means."""
    from cvq.pruning import trash
    from cvq.views.filters import Filter

    with client.db.read() as connection:
        return trash.in_trash(connection, wanted or Filter())


def jobs_of(client: Client, ids: Sequence[int]) -> list[Any]:
    """Jobs in the order of their ids."""
    from cvq import queries

    with client.db.read() as connection:
        jobs = {job.id: job for job in queries.get_jobs(connection, ids)}
    return [jobs[number] for number in ids if number in jobs]


def show(client: Client, jobs: Sequence[Any]) -> None:
    """Print jobs as a list, in the form that was asked for."""
    from ..job_table import listing

    if jobs or form() is not Form.TEXT:
        display_list(listing(client), jobs)


def told(stays: dict[str, int]) -> None:
    """Say why jobs were left as they are."""
    for why, number in stays.items():
        note(f"{count(number, 'job')} {'stays' if number == 1 else 'stay'}: {why}")


def say_done(client: Client, ids: Sequence[int], where: str) -> None:
    """Print which jobs are in another place now; in JSON, as they are there."""
    if form() is Form.JSON:
        show_jobs(client, ids)
        return

    def text(ids: Sequence[int]) -> None:
        if len(ids) > _MANY:
            say(f"{count(len(ids), 'job')} {where}")
        else:
            say_each(f"job {number} is {where}" for number in ids)

    display(ids, json=list, quiet=lambda ids: say_each(ids), text=text)
