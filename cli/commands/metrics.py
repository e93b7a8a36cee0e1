"""`cvq metrics JOB`: the numbers that a job has recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from cvq.errors import UsageError

from .. import options
from ..output import Column, dump, note, show_csv, show_table

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.jobs import Job
    from cvq.parse import Reference


@click.command(
    epilog="\b\nExamples:\n  cvq metrics @\n  cvq metrics 12 total_loss --csv > loss.csv"
)
@options.job
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--attempt", type=int, metavar="N",
    help="One attempt alone.  [default: all that resumed one another, as one curve]",
)  # fmt: skip
@options.flag("--json", "as_json", help="Print every point as JSON.")
@options.flag("--csv", "as_csv", help="Print every point as CSV.")
def metrics(
    reference: Reference, names: Sequence[str], attempt: int | None, as_json: bool, as_csv: bool
) -> None:
    """Show the numbers that a job has recorded.

    JOB is an id, @ (your last) or @~1 (the one before).
    """
    from cvq.client import Client

    from .. import curves

    client = Client()
    job = client.job(options.resolve_one(client, reference)).job
    _check_names(job, names)
    if as_json or as_csv:
        points = _points(client, job, names, attempt)
        dump(points) if as_json else show_csv(_columns(), points)
        return
    found = curves.curves_of(client, job, names, attempt)
    if found:
        show_table(curves.columns(), found)
    else:
        note(f"job {job.id} has recorded no metrics ({job.state})")


def _check_names(job: Job, names: Sequence[str]) -> None:
    from difflib import get_close_matches

    for name in names:
        if name not in job.metrics:
            near = get_close_matches(name, job.metrics, n=1)
            known = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(job.metrics)}"
            raise UsageError(
                f"job {job.id} has no metric '{name}'" + (f": {known}" if job.metrics else "")
            )


def _points(
    client: Client, job: Job, names: Sequence[str], attempt: int | None
) -> list[dict[str, Any]]:
    from cvq import queries
    from cvq.jobs import iso

    with client.db.read() as session:
        merged = queries.merged_points(session, job.id, names=names, attempt=attempt)
    rows = sorted((row for points in merged.values() for row in points), key=lambda row: row.id)
    return [
        {
            "attempt": row.attempt,
            "name": row.name,
            "step": row.step,
            "value": row.value,
            "time": iso(row.time),
        }
        for row in rows
    ]


def _columns() -> list[Column[dict[str, Any]]]:
    names = ("attempt", "name", "step", "value", "time")
    return [Column(name, lambda point, name=name: point[name]) for name in names]  # type: ignore[misc]
