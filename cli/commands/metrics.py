"""`cvq metrics JOB`: the numbers that a job has recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from cvq import parse
from cvq.errors import UsageError
from cvq.text import did_you_mean, nearest

from .. import completing, options, resolving
from ..display import Form, display
from ..formats import clean
from ..output import Column, heading, note, on_terminal, say_each, show_csv, show_md, show_table

if TYPE_CHECKING:
    from datetime import datetime

    from cvq.history import History
    from cvq.records import Job
    from cvq.views.curves import Curve

    from ..curve_plots import Look

_MOST = 1_000  # jobs of one command


@click.command(
    epilog="\b\nExamples:\n  cvq metrics @\n  cvq metrics 2 3 val_accuracy\n"
    "  cvq metrics 2-9 loss --x epoch --log-y --smooth 0.9\n"
    "  cvq metrics 12 total_loss --csv > loss.csv"
)
@click.argument(
    "words", metavar="JOB... [NAME]...", nargs=-1, required=True,
    shell_complete=completing.jobs_and_metrics,
)  # fmt: skip
@click.option(
    "--attempt", type=options.count(), metavar="N",
    help="Only this attempt.  [default: one curve over attempts that resumed each other]",
)  # fmt: skip
@click.option(
    "--x", "over", type=click.Choice(["step", "epoch", "time"]), default="step",
    help="What the curves are drawn over; time is since a job began.  [default: step]",
)  # fmt: skip
@options.flag("--log-x", help="Draw the horizontal axis by its logarithm.")
@options.flag("--log-y", help="Draw the vertical axis by its logarithm.")
@click.option(
    "--smooth", type=click.FloatRange(0, 1, max_open=True), default=0.0, metavar="X",
    help="Draw a moving average, in which what came before weighs X: 0.9, say.",
)  # fmt: skip
@options.flag("--plot", "plots", help="Draw curves also where the output is no terminal.")
@options.watching
@options.form("--json", form=Form.JSON, help="Print every point as JSON.")
@options.form("--csv", form=Form.CSV, help="Print every point as CSV.")
@options.form("--md", form=Form.MD, help="Print the list of metrics as a table of Markdown.")
def metrics(
    words: Sequence[str], attempt: int | None, over: str, log_x: bool, log_y: bool, smooth: float,
    plots: bool, watch: bool,
) -> None:  # fmt: skip
    """Show the metrics that jobs recorded, and draw their curves.

    Curves of several jobs are drawn together. Where no NAME is given, all metrics are listed, and
    the one is drawn that counts most to the kind; several names of one job share a plot. JOB is
    an id, a range 3-7, @ (your last) or @~1 (the one before).

    VALUE is the figure by which `cvq ls` filters and sorts: the last point, or the number under
    that name in the job's result. A training's result has the figures of the epoch that was kept,
    or of the whole run, so VALUE need not lie on the curve. BEST, LAST, MIN and MAX come from the
    curve; @ is followed by the epoch of the best value, or by `step` and a number if the job
    counts no epochs or the value belongs to a step within one.
    """
    from cvq.history import History

    from ..curve_plots import Look, Over

    history = History()
    jobs, names = _jobs_and_names(history, words)
    for name in names:
        _check_name(jobs, name)
    resolving.check_attempt(history, [job.id for job in jobs], attempt)
    look = Look(Over(over), log_x, log_y, smooth) if plots or on_terminal() else None
    asked = _Asked(history, jobs, names, attempt, look)
    if watch:
        _watch(asked)
        return
    asked.tell(asked.curves)


@dataclass(frozen=True)
class _Asked:
    """Which metrics of which jobs are shown, and how they are drawn; `look` is None: not."""

    history: History
    jobs: Sequence[Job]
    names: Sequence[str]
    attempt: int | None
    look: Look | None

    def curves(self) -> list[Curve]:
        """The curves of the jobs, those of one metric beneath each other."""
        from cvq.views.curves import curves_of
        from cvq.views.declared import headline_names

        with self.history.db.read() as connection:
            found = [
                curve
                for job in self.jobs
                for curve in curves_of(
                    connection,
                    job.id,
                    headline=headline_names(self.history.settings, job),
                    names=self.names,
                    attempt=self.attempt,
                )
            ]
        order = list(dict.fromkeys(curve.name for curve in found))
        return (
            sorted(found, key=lambda curve: order.index(curve.name))
            if len(self.jobs) > 1
            else found
        )

    def points(self) -> list[dict[str, Any]]:
        """Every point as JSON; the number of the job stands in it where there are several."""
        from cvq.views import shapes
        from cvq.views.curves import points_of

        with self.history.db.read() as connection:
            points = [
                shapes.metric_point(row)
                for job in self.jobs
                for row in points_of(connection, job.id, names=self.names, attempt=self.attempt)
            ]
        if len(self.jobs) == 1:
            for point in points:
                del point["job"]
        return points

    def tell(self, found: Callable[[], Sequence[Curve]], *, ongoing: bool = False) -> None:
        """Print them in the form that was asked for."""
        from ..curves import columns

        display(
            self,
            json=lambda asked: asked.points(),
            csv=lambda asked: show_csv(_columns(several=len(self.jobs) > 1), asked.points()),
            md=lambda _: show_md(columns(curves := found()), curves),
            text=lambda asked: asked.show(found()),
            ongoing=ongoing,
        )

    def show(self, found: Sequence[Curve]) -> None:
        """Print a table of the curves, and the plots."""
        from ..curves import columns

        plots = [] if self.look is None else self._drawn(found, self.look)
        if found:
            show_table(columns(found), found)
        for job in self.jobs:
            if not any(curve.job_id == job.id for curve in found):
                such = "such " if self.names else ""
                note(f"job {job.id} has recorded no {such}metrics ({job.state})")
        for title, lines in plots:
            heading(clean(title))
            say_each(lines, wrap=False)

    def _drawn(self, found: Sequence[Curve], look: Look) -> list[tuple[str, list[str]]]:
        """The lines of each plot, with its heading."""
        from ..curve_plots import draw

        jobs = {job.id: job for job in self.jobs}
        begun = self._begun() if look.over == "time" else {}
        beside = len(found) + 1
        return [
            (title, draw(curves, jobs, begun, look, beside=beside))
            for title, curves in self._plots(found)
        ]

    def _plots(self, found: Sequence[Curve]) -> list[tuple[str, list[Curve]]]:
        """The curves of each plot, with its heading."""
        if len(self.jobs) == 1 and self.names:
            return [(", ".join(curve.name for curve in found), list(found))] if found else []
        names = list(dict.fromkeys(curve.name for curve in found if len(curve.finite) > 1))
        shown = [name for name in names if name in self.names] if self.names else names[:1]
        return [(name, [curve for curve in found if curve.name == name]) for name in shown]

    def _begun(self) -> dict[int, datetime]:
        """When the first attempt of each job began."""
        from cvq import queries

        with self.history.db.read() as connection:
            attempts = {job.id: queries.attempts_of(connection, job.id) for job in self.jobs}
        return {job_id: several[0].started_at for job_id, several in attempts.items() if several}


def _watch(asked: _Asked) -> None:
    """Show the metrics anew whenever they have changed."""
    from ..live import repeat
    from ..output import captured

    repeat(asked.curves, lambda found: captured(lambda: asked.show(found)),
           lambda found: asked.tell(lambda: found, ongoing=True))  # fmt: skip


def _jobs_and_names(history: History, words: Sequence[str]) -> tuple[list[Job], list[str]]:
    """The jobs that the first words name, and the metrics that the others do."""
    references = [parse.reference(words[0])]
    [first] = _found(history, resolving.resolve(history, references)[:1])
    names = list(words[1:])
    while names and names[0] not in first.metrics:
        try:
            references.append(parse.reference(names[0]))
        except UsageError:
            break
        names.pop(0)
    return _found(history, resolving.resolve(history, references, most=_MOST)), names


def _found(history: History, job_ids: Sequence[int]) -> list[Job]:
    from cvq import queries

    with history.db.read() as connection:
        return queries.jobs_in_order(connection, job_ids)


def _check_name(jobs: Sequence[Job], name: str) -> None:
    known = sorted({metric for job in jobs for metric in job.metrics})
    if name in known:
        return
    hint = f": {did_you_mean(nearest(name, known)) or 'it has ' + ', '.join(known)}"
    which = f"job {jobs[0].id} has no" if len(jobs) == 1 else "none of these jobs has a"
    raise UsageError(f"{which} metric '{name}'" + (hint if known else ""))


def _columns(*, several: bool) -> list[Column[dict[str, Any]]]:
    names = ("attempt", "name", "step", "value", "time")
    return [
        Column(name, lambda point, name=name: point[name])  # type: ignore[misc]
        for name in (("job", *names) if several else names)
    ]
