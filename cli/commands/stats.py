"""`cvq stats`: figures of the history, by kind, user, day and more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from .. import formats, options, resolving
from ..display import Form, Listing, display_list, form
from ..interrupts import Interrupts
from ..output import Column, note, on_terminal
from ..widths import ending

if TYPE_CHECKING:
    from cvq.history import History
    from cvq.views.filters import Filter
    from cvq.views.stats import Figures, Stats

_LONG_S = 1.0  # after which it says how far it is
_TOTAL = "total"
_BY = ("kind", "user", "day", "state", "reason", "queue", "worker", "host", "device")


@click.command(
    epilog="\b\nExamples:\n  cvq stats --since 30d\n  cvq stats --by user,device --since 7d\n"
    "  cvq stats --by day --kind style-transfer --csv\n"
    "  cvq stats --by user --sort -gpu_hours --where 'params.size > 512'"
)
@click.option(
    "--by", type=options.CommaList(click.Choice(_BY)), default="kind", metavar="COLUMN,...",
    help=f"A line for each value of these: {', '.join(_BY)}.  [default: kind]",
)  # fmt: skip
@click.option(
    "--sort", metavar="FIGURE",
    help="Sort by a column or a figure, as --csv names them; -FIGURE sorts in descending order.  "
    "[default: the most jobs first, days in order]",
)  # fmt: skip
@options.filters
@options.trashed
@options.as_json
@options.as_csv
@options.as_md
@options.form("-q", "--quiet", form=Form.QUIET, help="Print the names of the lines only.")
def stats(by: Sequence[str], sort: str | None, **filters: Any) -> None:
    """Count jobs, how long they waited and ran, how many succeeded, and their GPU hours.

    WAIT is the time that a job was queued before its last attempt, RUN that of the attempt that
    succeeded: in the median, and of nine jobs in ten and 99 in 100 at most. SUCCESS is the share
    of those that succeeded or failed: cancelled jobs do not count. GPU-HOURS are those of all
    attempts on a GPU, also of the ones that failed or were repeated, and of those that run.

    The whole history counts, unless --since or another filter says otherwise.
    """
    from cvq.history import History

    client = History()
    wanted = resolving.make_filter(client, **filters)
    remarks = client.check_filter(wanted)
    found = _read(client, wanted, by, sort)
    shown = [*found.rows, *([found.total] if _has_total(found) else [])]
    display_list(_listing(found), shown)
    if not found.rows and form() is Form.TEXT:
        said = ", ".join(remarks or resolving.times_of(wanted))
        note(f"no jobs: {said}" if said else "no jobs")


def _has_total(found: Stats) -> bool:
    return form() in (Form.TEXT, Form.MD) and len(found.rows) > 1


def _read(client: History, wanted: Filter, by: Sequence[str], sort: str | None) -> Stats:
    from cvq.views import stats as views

    with Interrupts() as interrupts, _progress() as show, client.db.read() as connection:

        def look(rows: int) -> None:
            interrupts.check()
            show(rows)

        return views.stats(connection, wanted, by, sort=sort, on_rows=look)


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """Says on a terminal how many jobs were looked at, where that takes long."""
    if not on_terminal(err=True):
        yield lambda rows: None
        return
    from rich.status import Status

    from ..output import console

    begun = time.monotonic()
    status = Status("", console=console(err=True))

    def show(rows: int) -> None:
        if time.monotonic() - begun >= _LONG_S:
            status.update(f"{rows:,} jobs so far")
            status.start()

    try:
        yield show
    finally:
        status.stop()


def _listing(found: Stats) -> Listing[Figures]:
    return Listing(
        columns=lambda: _columns(found),
        shape=lambda rows: [_shape(found, row) for row in rows],
        quiet=lambda row: " ".join(row.key),
    )


def _columns(found: Stats) -> list[Column[Figures]]:
    return [
        *(_key(name, place) for place, name in enumerate(found.by)),
        _count("jobs", "jobs", 0),
        _count("succeeded", "succeeded", 6),
        _count("failed", "failed", 4),
        _count("cancelled", "cancelled", 9),
        _count("unfinished", "unfinished", 7),
        Column(
            "success",
            lambda row: "" if row.success is None else f"{100 * row.success:.0f} %",
            lambda row: _rounded(row, "success"),
            right=True,
            rank=2,
        ),
        *(
            _time(f"{what} {share}", f"{what}_{share}", rank)
            for what, ranks in (("wait", (5, 10, 12)), ("run", (1, 8, 11)))
            for share, rank in zip(("p50", "p90", "p99"), ranks, strict=True)
        ),
        Column(
            "gpu-hours",
            lambda row: f"{row.gpu_hours:.1f}" if row.gpu_hours else "",
            lambda row: _rounded(row, "gpu_hours"),
            "gpu_hours",
            right=True,
            rank=3,
        ),
    ]


def _key(name: str, place: int) -> Column[Figures]:
    def text(row: Figures) -> str:
        if row.key:
            return row.key[place] or "-"
        return "" if place else _TOTAL

    return Column(
        name, text, lambda row: row.key[place] if row.key else "", least=8, after=4, short=ending
    )


def _count(name: str, figure: str, rank: int) -> Column[Figures]:
    return Column(
        name,
        lambda row: str(row.figure(figure) or (0 if figure == "jobs" else "")),
        lambda row: row.figure(figure),
        figure,
        right=True,
        rank=rank,
    )


def _time(name: str, figure: str, rank: int) -> Column[Figures]:
    return Column(
        name,
        lambda row: formats.duration(row.figure(figure)),
        lambda row: _rounded(row, figure),
        figure,
        right=True,
        rank=rank,
    )


def _rounded(row: Figures, name: str) -> float | None:
    """A figure for programs: databases know times to a millisecond."""
    value = row.figure(name)
    return value if value is None or isinstance(value, int) else round(value, 4)


def _shape(found: Stats, row: Figures) -> dict[str, Any]:
    """A line in JSON: the columns, then the figures by their names; times in seconds."""
    from cvq.views.stats import FIGURES

    return dict(zip(found.by, row.key, strict=True)) | {
        name: _rounded(row, name) for name in FIGURES
    }
