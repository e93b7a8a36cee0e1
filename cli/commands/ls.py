"""`cvq ls`: the history as a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from .. import options
from ..display import Form, Listing, display_list, form
from ..output import hint, note, table

if TYPE_CHECKING:
    from cvq.history import History
    from cvq.views.filters import Filter
    from cvq.views.folded import Row


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
@options.flag("--unfold", help="A line for each job of a batch, too.")
@options.as_json
@options.as_csv
@options.quiet
@options.watching
def ls(limit: int, everything: bool, unfold: bool, watch: bool, **filters: Any) -> None:
    """List jobs, the newest first.

    The headline is the figure or answer that matters most to the job's kind. `succeeded (warned)`
    means that the job itself reports a problem with its result: see `cvq why JOB`.

    A batch is one line, unless --batch, --where, --sort or --unfold asks for its jobs; --json,
    --csv and --quiet list jobs alone.
    """
    from cvq.history import History

    client = History()
    wanted = options.make_filter(client, **filters, limit=None if everything else limit)
    remarks = client.check_filter(wanted)
    of_jobs = unfold or wanted.batches or wanted.where or wanted.sort
    seen = _View(client, wanted, folds=form() is Form.TEXT and not of_jobs)
    if watch:
        _watch(seen)
        return
    rows = seen.find()
    display_list(seen.listing, rows)
    _note_remarks(remarks, wanted, found=bool(rows))
    _hint_cut(seen, len(rows))
    _hint_folded(rows)


class _View:
    """What is listed: jobs, or jobs and batches."""

    def __init__(self, client: History, wanted: Filter, *, folds: bool) -> None:
        from cvq.views import filters, folded

        from .. import job_table

        self.client, self.wanted = client, wanted
        listing: Any = job_table.folded(client) if folds else job_table.listing(client)
        self.listing: Listing[Row] = listing
        self._reader: Any = folded if folds else filters

    def find(self) -> list[Row]:
        """What there is."""
        with self.client.db.read() as connection:
            rows: list[Row] = self._reader.find(connection, self.wanted)
        return rows

    def count(self) -> int:
        """How much there is, whatever the limit."""
        with self.client.db.read() as connection:
            return int(self._reader.count(connection, self.wanted))


def _note_remarks(remarks: Sequence[str], wanted: Filter, *, found: bool) -> None:
    """Say what was meant by the filter, where that may be why there is nothing."""
    if found:
        for remark in remarks:
            note(remark)
    elif remarks or form() is Form.TEXT:
        said = ", ".join(remarks or options.times_of(wanted))
        note(f"no jobs: {said}" if said else "no jobs")


def _hint_cut(seen: _View, shown: int) -> None:
    if seen.wanted.limit is None or shown < seen.wanted.limit:
        return
    more = seen.count() - shown
    if more > 0:
        note(f"… {more} more: -n {shown + more} or --all")


def _hint_folded(rows: Sequence[Row]) -> None:
    """Say how the jobs of a batch are listed, where one stands for them."""
    from cvq.batch import Batch

    if batch := next((row for row in rows if isinstance(row, Batch)), None):
        hint(f"`cvq ls --batch {batch.id}` lists a batch's jobs")


def _watch(seen: _View) -> None:
    from ..live import repeat

    def tell(rows: list[Row]) -> None:
        display_list(seen.listing, rows, ongoing=True)
        if not rows and form() is Form.TEXT:
            note("no jobs")

    repeat(seen.find, lambda rows: table(seen.listing.columns(), rows), tell)
