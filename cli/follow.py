"""Following a job to its end: a progress bar on a terminal, plain lines in a pipe.

All of it goes to stderr; stdout is for the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import formats
from .bars import NARROW, WIDE, bar_width, following_bar, say_above
from .output import is_dumb, note, on_terminal
from .spoken import Spoken

if TYPE_CHECKING:
    from cvq.records import Job


class Follower:
    """Shows each look at a job; made for `JobHandle.wait(on_look=…)`.

    Used with `contextlib.closing`, so that the bar is taken off the screen whatever happens. A
    quiet one shows nothing of a job, and only says what it is told to.
    """

    def __init__(self, headline: Sequence[str], *, quiet: bool = False) -> None:
        self.view: _Bar | _Lines = (
            _Bar(headline)
            if on_terminal(err=True) and not is_dumb() and not quiet
            else _Lines(headline, quiet=quiet)
        )

    def close(self) -> None:
        """Take it off the screen."""
        self.view.close()

    def __call__(self, job: Job) -> None:
        """Show a job as it is now."""
        self.view.show(job)

    def say(self, text: str) -> None:
        """Print a line, above the bar where there is one."""
        self.view.say(text)


class _Bar:
    """rich's progress bar: state, bar, count, time left, headline metrics."""

    def __init__(self, headline: Sequence[str]) -> None:
        self.headline = headline
        self.progress = following_bar()
        self.task = self.progress.add_task("", total=None, state="", count="", left="", metrics="")
        self.progress.start()

    def show(self, job: Job) -> None:
        at = job.progress or {}
        width = self.progress.console.width
        shown: dict[str, Any] = {
            "description": f"job {job.id}",
            "state": _state(job) if width >= WIDE else formats.state(_state(job), 9),
            "count": f"{at['done']}/{at['total']}" if at.get("total") and width >= NARROW else "",
            "left": _left(job) if width >= WIDE else "",
        }
        taken = sum(len(text) + 1 for text in shown.values()) + bar_width(width) + 4
        figures = formats.figures(job, self.headline, width - taken)
        self.progress.update(
            self.task,
            total=at.get("total"),
            completed=at.get("done", 0),
            metrics=figures,
            **shown,
        )

    def say(self, text: str) -> None:
        say_above(self.progress, text)

    def close(self) -> None:
        self.progress.stop()


def _left(job: Job) -> str:
    eta = formats.duration((job.progress or {}).get("eta_s"))
    return f"{eta} left" if eta and not job.finished else ""


def _state(job: Job) -> str:
    retry = f", attempt {job.attempt}" if job.attempt > 1 else ""
    return formats.outcome(job) + retry


class _Lines:
    """Lines, where no bar can be drawn."""

    def __init__(self, headline: Sequence[str], *, quiet: bool = False) -> None:
        self.headline = headline
        self.quiet = quiet
        self.spoken = Spoken()

    def show(self, job: Job) -> None:
        if self.quiet:
            return
        at = job.progress or {}
        share = at.get("done", 0) / at["total"] if at.get("total") else 0.0
        if self.spoken.due(_state(job), share):
            parts = [formats.progress(job), formats.headline(job, self.headline, most=3)]
            self.say("  ".join(filter(None, [f"job {job.id} {_state(job)}", *parts])))

    def say(self, text: str) -> None:
        note(text)

    def close(self) -> None:
        pass
