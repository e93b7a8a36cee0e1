"""How what goes on is shown until its end: a bar on a terminal, lines in a pipe, or JSON.

Bars and lines go to stderr; JSON of every change goes to stdout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from . import formats
from .bars import NARROW, WIDE, bar_width, following_bar, say_above
from .output import dump_line, is_dumb, note, on_terminal
from .spoken import Spoken


@dataclass(frozen=True)
class Look:
    """What there is to see of a job, a batch or a sweep at one moment.

    Attributes:
        what: which one, as in `batch 3`.
        state: in words.
        share: how much is done, from 0 to 1; None: not known.
        count: done of how many: `3/10`.
        left: the time that is left, in words.
        figures: what else there is to say, in a width.
        line: all of it that a line says after the state.
        json: its shape; equal ones are printed once.
    """

    what: str
    state: str
    share: float | None
    count: str
    left: str
    figures: Callable[[int], str]
    line: str
    json: Callable[[], Any] = dict


class View(Protocol):
    """What shows a look, and says what there is to say beside it."""

    def show(self, look: Look) -> None:
        """Show how it is now."""

    def say(self, text: str) -> None:
        """Say a line."""

    def close(self) -> None:
        """Take it off the screen."""


def view(*, quiet: bool = False, changes: bool = False) -> View:
    """What suits the output.

    Args:
        quiet: nothing is shown; what is said is said.
        changes: a line of JSON at every change.
    """
    if changes:
        return _Changes()
    if quiet:
        return _Nothing()
    return _Bar() if on_terminal(err=True) and not is_dumb() else _Lines()


class _Nothing:
    def show(self, look: Look) -> None:
        pass

    def say(self, text: str) -> None:
        note(text)

    def close(self) -> None:
        pass


class _Lines(_Nothing):
    """Lines, where no bar can be drawn."""

    def __init__(self) -> None:
        self._spoken = Spoken()

    def show(self, look: Look) -> None:
        if self._spoken.due(look.state, look.share or 0.0):
            note("  ".join(filter(None, [f"{look.what} {look.state}", look.line])))


class _Changes(_Nothing):
    """A line of JSON at every change."""

    _before: Any = None

    def show(self, look: Look) -> None:
        shape = look.json()
        if shape != self._before:
            self._before = shape
            dump_line(shape)


class _Bar(_Nothing):
    """rich's progress bar: state, bar, count, time left, and figures, which give way."""

    def __init__(self) -> None:
        self._bar = following_bar()
        self._task = self._bar.add_task("", total=None, state="", count="", left="", metrics="")
        self._bar.start()

    def show(self, look: Look) -> None:
        width = self._bar.console.width
        shown: dict[str, Any] = {
            "description": look.what,
            "state": look.state if width >= WIDE else formats.state(look.state, 9),
            "count": look.count if width >= NARROW else "",
            "left": look.left if width >= WIDE else "",
        }
        taken = sum(len(text) + 1 for text in shown.values()) + bar_width(width) + 4
        self._bar.update(
            self._task,
            total=None if look.share is None else 1.0,
            completed=look.share or 0.0,
            metrics=formats.clean(look.figures(max(0, width - taken))),
            **shown,
        )

    def say(self, text: str) -> None:
        say_above(self._bar, text)

    def close(self) -> None:
        self._bar.stop()
