"""Looking again and again: a screen that is redrawn, or a new print at every change in a pipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from .display import Form, form
from .interrupts import Interrupts
from .output import console, is_dumb, on_terminal

if TYPE_CHECKING:
    from rich.console import RenderableType

S = TypeVar("S")
_EVERY_S = 0.5


def repeat(
    look: Callable[[], S],
    draw: Callable[[S], RenderableType],
    tell: Callable[[S], None],
    *,
    until: Callable[[S], bool] = lambda _: False,
) -> None:
    """Look until Ctrl-C, or until there is nothing more to come.

    Args:
        look: returns what there is to show; equal values are shown once in a pipe.
        draw: makes it into what a terminal shows.
        tell: prints it in a pipe.
        until: says of a look that it was the last.
    """
    with Interrupts() as interrupts:
        if form() is not Form.JSON and on_terminal() and not is_dumb():
            _redraw(look, draw, until, interrupts)
        else:
            _print_changes(look, tell, until, interrupts)


def _redraw(
    look: Callable[[], S],
    draw: Callable[[S], RenderableType],
    until: Callable[[S], bool],
    interrupts: Interrupts,
) -> None:
    from rich.live import Live

    now = look()
    with Live(draw(now), console=console(), auto_refresh=False, screen=True) as live:
        while not until(now):
            interrupts.sleep(_EVERY_S)
            now = look()
            live.update(draw(now), refresh=True)


def _print_changes(
    look: Callable[[], S],
    tell: Callable[[S], None],
    until: Callable[[S], bool],
    interrupts: Interrupts,
) -> None:
    before: S | None = None
    while True:
        now = look()
        if now != before:
            tell(now)
            before = now
        if until(now):
            return
        interrupts.sleep(_EVERY_S)
