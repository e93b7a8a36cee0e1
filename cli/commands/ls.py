"""`cvq ls`: the history as a list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from cvq.errors import UsageError

from .. import options, resolving
from ..display import Form, Listing, asked_fields, display_list, display_pages, form
from ..output import hint, note, say, table

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from cvq.history import History
    from cvq.parse import Reference
    from cvq.views.filters import Filter
    from cvq.views.folded import Row

_COUNTED = 1_000  # beyond which nobody needs to know how many are not shown


@click.command(
    epilog="\b\nExamples:\n  cvq ls --state running,queued -w\n"
    "  cvq ls --kind vae --where 'val_loss < 100 and params.epochs > 5' --sort val_loss\n"
    "  cvq ls --since today --columns id,state,duration,metrics.val_loss --md\n"
    "  cvq ls --since 2d --tag for=poster --all --csv"
)
@options.filters
@options.trashed
@click.option(
    "--sort",
    type=options.Query("key"),
    metavar="KEY",
    help="Sort by a column (id, priority, created, duration, …), a metric, a parameter, a tag or "
    "a value of the result; -KEY sorts in descending order, best(KEY) by the best value of the "
    "curve. Several are separated by commas.",
)
@options.limited()
@click.option(
    "--after",
    "behind",
    type=options.REFERENCE,
    metavar="JOB",
    help="Go on after this job, under the same filters and --sort: the next page.",
)
@click.option(
    "--columns",
    type=options.FIELDS,
    metavar="FIELD,...",
    help="Show these columns: those of the table, or whatever --where can name; "
    "+FIELD adds one to the table's.",
)
@options.flag("--unfold", help="A line for each job of a batch, too.")
@options.as_json_fields
@options.as_csv
@options.as_md
@options.quiet
@options.form("--count", form=Form.COUNT, help="Print how many jobs there are.")
@options.watching
def ls(
    limit: int,
    everything: bool,
    behind: Reference | None,
    columns: list[str] | None,
    unfold: bool,
    watch: bool,
    **filters: Any,
) -> None:
    """List jobs, the newest first.

    The headline is the figure or answer that matters most to the job's kind. `succeeded (warned)`
    means that the job itself reports a problem with its result: see `cvq why JOB`.

    A batch is one line, unless --batch, --where, --sort, --after or --unfold asks for its jobs;
    --json, --csv, --md and --quiet list jobs alone. docs/querying.md has the language of --where.
    JOB is an id, @ (your last) or @~1 (the one before).
    """
    from cvq.history import History

    history = History()
    wanted = resolving.make_filter(history, **filters, limit=None if everything else limit)
    after = None if behind is None else resolving.resolve_one(history, behind)
    if after is not None and form() is Form.COUNT:
        raise UsageError("--count counts all jobs: leave --after away")
    seen = _View(history, wanted, columns, after, unfold=unfold)
    remarks = history.check_filter(wanted, seen.fields)
    if form() is Form.COUNT:
        say(seen.count())
    elif watch:
        _watch(seen)
    elif everything:
        display_pages(seen.listing, seen.pages)
        seen.note_estimates()
        _note_remarks(remarks, wanted, found=seen.found)
    else:
        rows = seen.find()
        display_list(seen.listing, rows)
        _note_remarks(remarks, wanted, found=bool(rows))
        seen.note_estimates()
        _hint_cut(seen, rows)
        _hint_folded(rows)


class _View:
    """What is listed: jobs, or jobs and batches."""

    def __init__(
        self, history: History, wanted: Filter, columns: Sequence[str] | None, after: int | None,
        *, unfold: bool,
    ) -> None:  # fmt: skip
        from .. import job_table
        from ..job_fields import Chosen
        from ..outlook import Outlook

        self.history, self.wanted, self.after = history, wanted, after
        of_jobs = unfold or after or wanted.batches or wanted.sweeps or wanted.where or wanted.sort
        self.folds = form() is Form.TEXT and not of_jobs and not columns
        self.found = self.more = False
        chosen = job_table.choose(wanted, columns, asked_fields())
        self._chosen = Chosen(chosen.fields)
        people = form() is Form.TEXT
        told = chosen.estimates and form() is not Form.COUNT
        self._outlook = Outlook(history, everything=told) if people or told else None
        listing: Any = (
            job_table.folded(history, self._outlook)
            if self.folds
            else job_table.listing(history, self._chosen, chosen, self._outlook)
        )
        self.listing: Listing[Row] = listing

    @property
    def fields(self) -> list[str]:
        """What is to be shown besides the columns of the table."""
        return list(self._chosen.fields)

    def find(self) -> list[Row]:
        """What there is, up to the limit."""
        rows = self._read()
        if self._outlook is not None:
            self._outlook.look(rows)
        return rows

    def _read(self) -> list[Row]:
        from cvq.views import filters, folded

        with self.history.db.read() as connection:
            if self.folds:
                return folded.find(connection, self.wanted)
            page = filters.page(connection, self.wanted, self._place(connection))
            self._chosen.look(connection, page.jobs)
            self.more = page.after is not None
            rows: list[Row] = list(page.jobs)
        return rows

    def pages(self) -> Iterator[list[Row]]:
        """All that there is; each page in a transaction of its own, as its reader may be slow."""
        from cvq.views import filters

        if self.folds:
            rows = self.find()
            self.found = bool(rows)
            yield rows
            return
        read, look = self.history.db.read, self._chosen.look
        with read() as connection:
            after = self._place(connection)
        for page in filters.pages(read, self.wanted, look=look, after=after):
            self.found = True
            if self._outlook is not None:
                self._outlook.look(page)
            yield list(page)

    def _place(self, connection: Connection) -> str | None:
        from cvq.views import filters

        if self.after is None:
            return None
        return filters.place_of(connection, self.wanted, self.after)

    def note_estimates(self) -> None:
        """Say why there is no estimate of some jobs that have not ended, to people."""
        said = self._outlook.note() if self._outlook is not None and form() is Form.TEXT else None
        if said is not None:
            note(said)

    def count(self, most: int | None = None) -> int:
        """How much there is, whatever the limit; of more than `most`, at least that many."""
        from cvq.views import filters, folded

        with self.history.db.read() as connection:
            if self.folds:
                return folded.count(connection, self.wanted, most)
            return filters.count(connection, self.wanted, most)


def _note_remarks(remarks: Sequence[str], wanted: Filter, *, found: bool) -> None:
    """Say what was meant by the filter, where that may be why there is nothing."""
    if found:
        for remark in remarks:
            note(remark)
    elif remarks or form() is Form.TEXT:
        said = ", ".join(remarks or resolving.times_of(wanted))
        note(f"no jobs: {said}" if said else "no jobs")


def _hint_cut(seen: _View, rows: Sequence[Row]) -> None:
    shown = len(rows)
    if seen.wanted.limit is None or shown < seen.wanted.limit:
        return
    following = "" if seen.folds else f", --after {rows[-1].id}"
    if seen.after is not None:
        if seen.more:
            note(f"… more{following.replace(',', ':', 1)} or --all")
        return
    more = seen.count(shown + _COUNTED) - shown
    if more >= _COUNTED:
        note(f"… more than {_COUNTED:,} more: -n N{following} or --all")
    elif more > 0:
        note(f"… {more} more: -n {shown + more}{following} or --all")


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
