"""`cvq ls`: the history as a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from .. import options
from ..display import Form, Listing, display_list, form
from ..output import note, table

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.records import Job
    from cvq.views.filters import Filter


@click.command(
    epilog="\b\nExamples:\n  cvq ls --status running,queued -w\n"
    "  cvq ls --kind style-transfer --where 'total_loss<1000' --sort total_loss\n"
    "  cvq ls --since 2d --tag for=poster --all --csv"
)
@options.filters
@click.option(
    "--sort",
    metavar="KEY",
    help="Sort by a column (id, priority, created_at, …), a metric or a number in the result; "
    "-KEY sorts in descending order, best(KEY) by the best value of the curve.",
)
@click.option(
    "-n", "--limit", type=options.count(1), default=options.DEFAULT_LIMIT, metavar="N",
    help=f"How many to show.  [default: {options.DEFAULT_LIMIT}]",
)  # fmt: skip
@options.flag("--all", "everything", help="Show all.")
@options.as_json
@options.as_csv
@options.quiet
@options.watching
def ls(limit: int, everything: bool, watch: bool, **filters: Any) -> None:
    """List jobs, the newest first.

    The headline is the figure or answer that matters most to the job's kind. `succeeded (warned)`
    means that the job itself reports a problem with its result: see `cvq why JOB`.
    """
    from cvq.client import Client

    from .. import job_table

    client = Client()
    wanted = options.make_filter(client, **filters, limit=None if everything else limit)
    remarks = client.check_filter(wanted)
    listing = job_table.listing(client)
    if watch:
        _watch(client, wanted, listing)
        return
    jobs = options.find(client, wanted)
    display_list(listing, jobs)
    _note_remarks(remarks, wanted, found=bool(jobs))
    _hint_cut(client, wanted, len(jobs))


def _note_remarks(remarks: Sequence[str], wanted: Filter, *, found: bool) -> None:
    """Say what was meant by the filter, where that may be why there is nothing."""
    if found:
        for remark in remarks:
            note(remark)
    elif remarks or form() is Form.TEXT:
        said = ", ".join(remarks or options.times_of(wanted))
        note(f"no jobs: {said}" if said else "no jobs")


def _hint_cut(client: Client, wanted: Filter, shown: int) -> None:
    from cvq.views import filters

    if wanted.limit is None or shown < wanted.limit:
        return
    with client.db.read() as connection:
        more = filters.count(connection, wanted) - shown
    if more > 0:
        note(f"… {more} more: -n {shown + more} or --all")


def _watch(client: Client, wanted: Filter, listing: Listing[Job]) -> None:
    from ..live import repeat

    def tell(jobs: list[Job]) -> None:
        display_list(listing, jobs, ongoing=True)
        if not jobs and form() is Form.TEXT:
            note("no jobs")

    repeat(
        lambda: options.find(client, wanted),
        lambda jobs: table(listing.columns(), jobs),
        tell,
    )
