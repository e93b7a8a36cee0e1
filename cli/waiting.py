"""A line that says what is being waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .output import console, is_dumb, note, on_terminal

if TYPE_CHECKING:
    from rich.status import Status


class Spinner:
    """A spinner on a terminal; in a pipe, a line whenever the words change. `close` ends it."""

    def __init__(self) -> None:
        self.said = ""
        self.status: Status | None = None

    def close(self) -> None:
        """Take it off the screen."""
        if self.status is not None:
            self.status.stop()

    def show(self, text: str) -> None:
        """Say what is being waited for now."""
        from rich.text import Text  # as it is: square brackets in it are no markup

        if text == self.said:
            return
        self.said = text
        line = Text(text, no_wrap=True, overflow="ellipsis")
        if not on_terminal(err=True) or is_dumb():
            note(text)
        elif self.status is None:
            self.status = console(err=True).status(line)
            self.status.start()
        else:
            self.status.update(line)
