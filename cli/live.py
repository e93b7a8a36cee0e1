"""Looking again and again: a screen that is redrawn, or a new print at every change in a pipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from .interrupts import Interrupts
from .output import console, is_dumb, on_terminal

if TYPE_CHECKING:
    from rich.console import RenderableType

S = TypeVar("S")
_EVERY_S = 0.5


def repeat(
    look: Callable[[], S], draw: Callable[[S], RenderableType], tell: Callable[[S], None]
) -> None:
    """Look until Ctrl-C.

    Args:
        look: returns what there is to show; equal values are shown once in a pipe.
        draw: makes it into what a terminal shows.
        tell: prints it in a pipe.
    """
    with Interrupts() as interrupts:
        if on_terminal() and not is_dumb():
            _redraw(look, draw, interrupts)
        else:
            _print_changes(look, tell, interrupts)


def _redraw(
    look: Callable[[], S], draw: Callable[[S], RenderableType], interrupts: Interrupts
) -> None:
    from rich.live import Live

    with Live(draw(look()), console=console(), auto_refresh=False, screen=True) as live:
        while True:
            interrupts.sleep(_EVERY_S)
            live.update(draw(look()), refresh=True)


def _print_changes(
    look: Callable[[], S], tell: Callable[[S], None], interrupts: Interrupts
) -> None:
    before: S | None = None
    while True:
        now = look()
        if now != before:
            tell(now)
            before = now
        interrupts.sleep(_EVERY_S)
