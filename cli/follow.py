"""Following a job to its end: a progress bar on a terminal, plain lines in a pipe.

All of it goes to stderr; stdout is for the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import formats
from .following import Look, view

if TYPE_CHECKING:
    from cvq.records import Job


class Follower:
    """Shows each look at a job; made for `JobHandle.wait(on_look=…)`.

    Used with `contextlib.closing`, so that the bar is taken off the screen whatever happens. A
    quiet one shows nothing of a job, and only says what it is told to.
    """

    def __init__(self, headline: Sequence[str], *, quiet: bool = False) -> None:
        self._headline = headline
        self._view = view(quiet=quiet)

    def close(self) -> None:
        """Take it off the screen."""
        self._view.close()

    def __call__(self, job: Job) -> None:
        """Show a job as it is now."""
        self._view.show(_seen(job, self._headline))

    def say(self, text: str) -> None:
        """Print a line, above the bar where there is one."""
        self._view.say(text)


def _seen(job: Job, headline: Sequence[str]) -> Look:
    at = job.progress or {}
    done, total = at.get("done", 0), at.get("total")
    eta = formats.duration(at.get("eta_s"))
    parts = [formats.progress(job), formats.headline(job, headline, most=3)]
    return Look(
        what=f"job {job.id}",
        state=formats.outcome(job) + (f", attempt {job.attempt}" if job.attempt > 1 else ""),
        share=done / total if total else None,
        count=f"{done}/{total}" if total else "",
        left=f"{eta} left" if eta and not job.finished else "",
        figures=lambda width: formats.figures(job, headline, width),
        line="  ".join(filter(None, parts)),
    )
