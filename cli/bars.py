"""Progress bars: of what is counted, and of a job or a batch that is followed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .formats import clean
from .output import console, is_dumb, on_terminal
from .widths import plain_blanks, wrap

if TYPE_CHECKING:
    from rich.progress import Progress

NARROW, WIDE = 50, 80  # terminals


def counting_bar(*, beside: int) -> Progress:
    """What is done, of how many, and the time left; `beside` columns are for words and figures."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    screen = console(err=True)
    size = max(1, min(40, screen.width - beside))
    return Progress(
        TextColumn("{task.description}"), BarColumn(size), MofNCompleteColumn(),
        TimeRemainingColumn(), console=screen, transient=True,
    )  # fmt: skip


@contextmanager
def counting(what: str, total: int, *, least: int) -> Iterator[Callable[[int], None]]:
    """A bar of how many are done; none of fewer than `least`, and where nobody would see it."""
    if total < least or not on_terminal(err=True) or is_dumb():
        yield lambda _: None
        return
    with counting_bar(beside=36) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def following_bar() -> Progress:
    """A line of fields: `state`, the bar, `count`, `left`, and `metrics`, which gives way."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
    from rich.table import Column

    def column(text: str, **more: Any) -> TextColumn:
        return TextColumn(text, table_column=Column(no_wrap=True, **more), markup=False)

    target = console(err=True)
    bar = bar_width(target.width)
    return Progress(
        SpinnerColumn(),
        column("{task.description}"),
        column("{task.fields[state]}"),
        *([BarColumn(bar_width=bar)] if bar else []),
        column("{task.fields[count]}"),
        column("{task.fields[left]}"),
        column("{task.fields[metrics]}", overflow="ellipsis", ratio=1),
        console=target,
        expand=True,
        transient=True,
    )


def bar_width(width: int) -> int:
    """Of what is not needed for id, state and figures."""
    return 30 if width >= 100 else 10 if width >= WIDE else 0


def say_above(bar: Progress, text: str) -> None:
    """Print a line above a bar."""
    shown = plain_blanks(wrap(clean(text), bar.console.width))
    bar.console.print(shown, markup=False, highlight=False, soft_wrap=True)
