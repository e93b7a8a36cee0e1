"""A live table of jobs: on a terminal it is redrawn, in a pipe a line tells of each change."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cvq.errors import WaitTimeoutError
from cvq.states import State

from . import formats
from .display import Form, form
from .live import repeat
from .output import Column, dump_line, is_dumb, note, on_terminal, say, show_table, table
from .spoken import Spoken
from .widths import cells, ending, name, terminal_height

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cvq.history import History
    from cvq.settings import Settings
    from cvq.views.live import LiveJob, LiveLook, Watched

_BAR = 10  # cells
_AROUND = 4  # lines of the terminal besides the jobs
_MOST = 200  # jobs in a pipe


def watch(
    history: History, watched: Watched, *, lasting: bool, timeout: float | None = None
) -> None:
    """Show jobs until all have ended.

    Args:
        history: where they are.
        watched: which they are.
        lasting: what is watched is named: it is shown at the end, too.
        timeout: seconds; None waits for ever.

    Raises:
        WaitTimeoutError: they have not ended in time.
        KeyboardInterrupt: somebody has seen enough; it was said that the jobs go on.
    """
    last: list[LiveLook] = []
    deadline = math.inf if timeout is None else time.monotonic() + timeout

    def look() -> LiveLook:
        on_screen = on_terminal() and not is_dumb()
        most = max(1, terminal_height() - _AROUND) if on_screen else _MOST
        with history.db.read() as connection:
            last[:] = [watched.look(connection, most)]
        return last[0]

    tell = _Lines(history)
    try:
        repeat(
            look,
            lambda seen: _screen(history.settings, seen),
            tell,
            until=lambda seen: seen.over or time.monotonic() > deadline,
        )
    except KeyboardInterrupt:
        if last and not last[0].over:
            note(_going_on(last[0]))
        raise
    if lasting and on_terminal() and not is_dumb() and form() is Form.TEXT:
        show_table(columns(history.settings, last[0]), last[0].jobs)
    if not last[0].over:
        raise WaitTimeoutError(f"after {formats.exactly(timeout)}, {_going_on(last[0])}")


def _going_on(seen: LiveLook) -> str:
    number = seen.running + seen.waiting
    verb = "continues" if number == 1 else "continue"
    return (
        f"{formats.count(number, 'job')} {verb}: `cvq watch` shows them, `cvq cancel` stops them"
    )


def columns(settings: Settings, seen: LiveLook) -> list[Column[LiveJob]]:
    """State, progress, time left, time so far, memory and headline of each job."""
    from cvq.views.declared import headline_names

    def headline(live: LiveJob) -> str:
        return formats.headline(live.job, headline_names(settings, live.job), most=2)

    def time_so_far(live: LiveJob) -> str:
        return formats.duration(live.job.seconds(seen.now))

    return [
        Column("id", lambda live: str(live.job.id), right=True),
        Column(
            "state", lambda live: formats.outcome(live.job),
            style=lambda live: formats.STATE_STYLES[live.job.state],
            least=9, after=3, short=formats.state,
        ),
        Column("kind", lambda live: live.job.kind, rank=6, least=8, after=6, short=ending),
        Column("name", lambda live: formats.title(live.job), rank=7, least=8, short=name),
        Column("", _bar, style=lambda _: "cyan", rank=8),
        Column("done", _done, right=True, rank=1),
        Column("left", _left, right=True, rank=2),
        Column("time", time_so_far, right=True, rank=4),
        Column("memory", lambda live: formats.size(live.memory), right=True, rank=5),
        Column("headline", headline, rank=3, least=12, short=_fewer),
    ]  # fmt: skip


def _fewer(figures: str, width: int) -> str:
    """As many figures as a width holds, of the first one its number in any case."""
    while "  " in figures and cells(figures) > width:
        figures = figures.rpartition("  ")[0]
    return formats.figure(figures, width)


def _share(live: LiveJob) -> float | None:
    at = live.job.progress or {}
    return min(1.0, at["done"] / at["total"]) if at.get("total") else None


def _bar(live: LiveJob) -> str:
    share = _share(live)
    if share is None or live.job.state != State.RUNNING:
        return ""
    full = int(share * _BAR)
    return "━" * full + "·" * (_BAR - full)


def _done(live: LiveJob) -> str:
    at = live.job.progress or {}
    return f"{at['done']}/{at['total']}" if at.get("total") else ""


def _left(live: LiveJob) -> str:
    if live.job.state != State.RUNNING:
        return ""
    return formats.duration((live.job.progress or {}).get("eta_s"))


def _screen(settings: Settings, seen: LiveLook) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    below = Text(f"\n{_summary(seen)}  (Ctrl-C leaves them alone)", "dim")
    return Group(table(columns(settings, seen), seen.jobs), below)


def _summary(seen: LiveLook) -> str:
    shown = sum(not live.job.finished for live in seen.jobs)
    hidden = seen.running + seen.waiting - shown
    more = f", {hidden} not shown" if hidden > 0 else ""
    return f"{seen.running} running, {seen.waiting} waiting{more}"


class _Lines:
    """Says a line of each job whose state has changed, or that has done another tenth."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._spoken: dict[int, Spoken] = {}
        self._before: dict[int, Any] = {}
        self._tell: Callable[[LiveLook], None] = (
            self._changes if form() is Form.JSON else self._lines
        )

    def __call__(self, seen: LiveLook) -> None:
        """Tell what is new in a look."""
        self._tell(seen)

    def _lines(self, seen: LiveLook) -> None:
        from cvq.views.declared import headline_names

        for live in sorted(seen.jobs, key=lambda live: live.job.id):
            job = live.job
            spoken = self._spoken.setdefault(job.id, Spoken())
            if not spoken.due(formats.outcome(job), _share(live) or 0.0):
                continue
            names = headline_names(self._history.settings, job)
            parts = [
                f"job {job.id} {formats.outcome(job)}",
                formats.progress(job),
                formats.size(live.memory),
                formats.headline(job, names, most=3),
            ]
            say("  ".join(filter(None, parts)))

    def _changes(self, seen: LiveLook) -> None:
        """A line of JSON of each job of which anything has changed."""
        from dataclasses import replace

        from cvq import queries
        from cvq.views import shapes

        for live in sorted(seen.jobs, key=lambda live: live.job.id):
            seen_job = replace(live.job, lease_until=None), live.memory
            if self._before.get(live.job.id) == seen_job:
                continue
            self._before[live.job.id] = seen_job
            with self._history.db.read() as connection:
                files = queries.artifacts_of(connection, [live.job.id])[live.job.id]
            dump_line(shapes.job(live.job, files) | {"memory": live.memory})
