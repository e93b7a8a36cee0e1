"""`cvq metrics JOB`: the numbers that a job has recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from cvq import parse
from cvq.errors import UsageError
from cvq.text import did_you_mean, nearest

from .. import options
from ..display import Form, display
from ..output import Column, note, show_csv, show_table

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.records import Job
    from cvq.views.curves import Curve


@click.command(
    epilog="\b\nExamples:\n  cvq metrics @\n  cvq metrics 2 3 val_accuracy\n"
    "  cvq metrics 12 total_loss --csv > loss.csv"
)
@click.argument("words", metavar="JOB... [NAME]...", nargs=-1, required=True)
@click.option(
    "--attempt", type=options.count(), metavar="N",
    help="Only this attempt.  [default: one curve over attempts that resumed each other]",
)  # fmt: skip
@options.form("--json", form=Form.JSON, help="Print every point as JSON.")
@options.form("--csv", form=Form.CSV, help="Print every point as CSV.")
def metrics(words: Sequence[str], attempt: int | None) -> None:
    """Show the metrics that jobs recorded.

    Metrics of several jobs are listed together, their curves drawn on one scale. JOB is an
    id, a range 3-7, @ (your last) or @~1 (the one before).

    VALUE is the figure by which `cvq ls` filters and sorts: the last point, or the number under
    that name in the job's result. A training's result has the figures of the epoch that was kept,
    or of the whole run, so VALUE need not lie on the curve. BEST, LAST, MIN and MAX come from the
    curve; @ is followed by the epoch of the best value, or by `step` and a number if the job
    counts no epochs or the value belongs to a step within one.
    """
    from cvq.client import Client

    client = Client()
    jobs, names = _jobs_and_names(client, words)
    for name in names:
        _check_name(jobs, name)
    options.check_attempt(client, [job.id for job in jobs], attempt)
    display(
        jobs,
        json=lambda jobs: _points(client, jobs, names, attempt),
        csv=lambda jobs: show_csv(
            _columns(several=len(jobs) > 1), _points(client, jobs, names, attempt)
        ),
        text=lambda jobs: _show(client, jobs, names, attempt),
    )


def _show(client: Client, jobs: Sequence[Job], names: Sequence[str], attempt: int | None) -> None:
    from ..curves import columns

    found = _curves(client, jobs, names, attempt)
    if found:
        show_table(columns(found), found)
    for job in jobs:
        if not any(curve.job_id == job.id for curve in found):
            note(f"job {job.id} has recorded no {'such ' if names else ''}metrics ({job.state})")


def _jobs_and_names(client: Client, words: Sequence[str]) -> tuple[list[Job], list[str]]:
    """The jobs that the first words name, and the metrics that the others do."""
    references = [parse.reference(words[0])]
    first = client.job(options.resolve(client, references)[0]).job
    names = list(words[1:])
    while names and names[0] not in first.metrics:
        try:
            references.append(parse.reference(names[0]))
        except UsageError:
            break
        names.pop(0)
    return [client.job(job_id).job for job_id in options.resolve(client, references)], names


def _check_name(jobs: Sequence[Job], name: str) -> None:
    known = sorted({metric for job in jobs for metric in job.metrics})
    if name in known:
        return
    hint = f": {did_you_mean(nearest(name, known)) or 'it has ' + ', '.join(known)}"
    which = f"job {jobs[0].id} has no" if len(jobs) == 1 else "none of these jobs has a"
    raise UsageError(f"{which} metric '{name}'" + (hint if known else ""))


def _curves(
    client: Client, jobs: Sequence[Job], names: Sequence[str], attempt: int | None
) -> list[Curve]:
    """The curves of the jobs, those of one metric beneath each other."""
    from cvq.views.curves import curves_of
    from cvq.views.declared import headline_names

    with client.db.read() as connection:
        found = [
            curve
            for job in jobs
            for curve in curves_of(
                connection,
                job.id,
                headline=headline_names(client.settings, job),
                names=names,
                attempt=attempt,
            )
        ]
    order = list(dict.fromkeys(curve.name for curve in found))
    return sorted(found, key=lambda curve: order.index(curve.name)) if len(jobs) > 1 else found


def _points(
    client: Client, jobs: Sequence[Job], names: Sequence[str], attempt: int | None
) -> list[dict[str, Any]]:
    """Every point as JSON; the number of the job stands in it where there are several."""
    from cvq.views import shapes
    from cvq.views.curves import points_of

    with client.db.read() as connection:
        points = [
            shapes.metric_point(row)
            for job in jobs
            for row in points_of(connection, job.id, names=names, attempt=attempt)
        ]
    if len(jobs) == 1:
        for point in points:
            del point["job"]
    return points


def _columns(*, several: bool) -> list[Column[dict[str, Any]]]:
    names = ("attempt", "name", "step", "value", "time")
    return [
        Column(name, lambda point, name=name: point[name])  # type: ignore[misc]
        for name in (("job", *names) if several else names)
    ]
