"""`cvq ls`: the history as a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from .. import options
from ..output import dump, dump_line, note, say, show_list, table

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
    help="A column (id, priority, created_at, …), a metric or a number of the result; -KEY "
    "descends, best(KEY) takes the best of the curve.",
)
@click.option(
    "-n", "--limit", type=options.count(1), default=options.DEFAULT_LIMIT, metavar="N",
    help=f"Show so many.  [default: {options.DEFAULT_LIMIT}]",
)  # fmt: skip
@options.flag("--all", "everything", help="Show all.")
@options.as_json
@options.as_csv
@options.quiet
@options.watching
def ls(
    limit: int,
    everything: bool,
    as_json: bool,
    as_csv: bool,
    quiet: bool,
    watch: bool,
    **filters: Any,
) -> None:
    """List jobs, the newest first.

    The headline is what the job's kind counts most: a figure, or an answer. A state `succeeded
    (warned)` is that of a job which says that something is wrong with what it made: `cvq why JOB`.
    """
    from cvq.client import Client

    client = Client()
    wanted = options.make_filter(**filters, limit=None if everything else limit)
    remarks = client.check_filter(wanted)
    form: dict[str, Any] = {"as_json": as_json, "as_csv": as_csv, "quiet": quiet}
    if watch:
        _watch(client, wanted, form)
        return
    jobs = options.find(client, wanted)
    _print(client, jobs, **form, remarks=remarks, times=options.times_of(wanted))
    _hint_cut(client, wanted, len(jobs))


def _print(
    client: Client,
    jobs: list[Job],
    *,
    as_json: bool,
    as_csv: bool,
    quiet: bool,
    remarks: Sequence[str] = (),
    times: Sequence[str] = (),
) -> None:
    from .. import job_table

    if as_json:
        dump(job_table.as_json(client, jobs))
    elif quiet:
        for job in jobs:
            say(job.id)
    else:
        columns = job_table.columns(client.settings, _now(client))
        show_list(columns, jobs, as_csv=as_csv)
    if not jobs and (remarks or not (as_json or as_csv or quiet)):
        remarks = remarks or times
        note(f"no jobs: {', '.join(remarks)}" if remarks else "no jobs")
    else:
        for remark in remarks:
            note(remark)


def _hint_cut(client: Client, wanted: Filter, shown: int) -> None:
    from cvq.views import filters

    if wanted.limit is None or shown < wanted.limit:
        return
    with client.db.read() as connection:
        more = filters.count(connection, wanted) - shown
    if more > 0:
        note(f"… {more} more: -n {shown + more} or --all")


def _watch(client: Client, wanted: Filter, form: dict[str, Any]) -> None:
    from .. import job_table
    from ..live import repeat

    def tell(jobs: list[Job]) -> None:
        if form["as_json"]:
            dump_line(job_table.as_json(client, jobs))
        else:
            _print(client, jobs, **form)

    repeat(
        lambda: options.find(client, wanted),
        lambda jobs: table(job_table.columns(client.settings, _now(client)), jobs),
        tell,
    )


def _now(client: Client) -> Any:
    from cvq import queries

    with client.db.read() as connection:
        return queries.database_time(connection)
