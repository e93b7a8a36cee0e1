"""Help that fits the terminal. Click lays it out for 50 cells and more, and cuts words in two."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import click

from .widths import LEAST, cells, terminal_width, wrap

_HYPHEN = "\ue001"  # at which Click breaks no word; of Unicode's private characters
_SAID = re.compile(r"(  \S.*\S) {2,}(\S.*)")  # `  cvq up     what it does`


class Formatter(click.HelpFormatter):
    """Click's, with the terms of a list above their meanings where there is no room beside."""

    def __init__(
        self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None
    ) -> None:
        width = width or min(terminal_width(), max_width or 80)
        super().__init__(indent_increment, width=width)

    def write_text(self, text: str) -> None:
        """Write paragraphs; of an example, what is said of it goes below where it must."""
        room = self.width - self.current_indent
        laid = "\n".join(_example(line, room) for line in text.split("\n"))
        super().write_text(re.sub(r"(?<=\w)-(?=\w)", _HYPHEN, laid))

    def write(self, string: str) -> None:
        """Write, as it is printed."""
        super().write(string.replace(_HYPHEN, "-"))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Write terms and their meanings."""
        given = list(rows)
        longest = min(col_max, max(cells(term) for term, _ in given))
        beside = self.current_indent + longest + col_spacing
        hang = beside if self.width - beside >= LEAST else self.current_indent + 4
        for term, meaning in given:
            head = " " * self.current_indent + term
            alone = hang < beside or cells(term) > longest
            gap = " " * hang if alone else " " * (hang - cells(head))
            text = wrap(gap + meaning if alone else head + gap + meaning, self.width, hang)
            self.write(f"{head}\n{text}\n" if alone else f"{text.rstrip()}\n")


def _example(line: str, room: int) -> str:
    said = _SAID.fullmatch(line)
    if said is None or cells(line) <= room:
        return line
    return f"{said[1]}\n{wrap(' ' * 6 + said[2], room, 6)}"


class Context(click.Context):
    """A context whose help is laid out so."""

    formatter_class = Formatter


def fitted(command: click.Command) -> click.Command:
    """A command, and those in it, with such help."""
    command.context_class = Context
    inner: dict[str, Any] = getattr(command, "commands", {})
    for each in inner.values():
        each.short_help = each.get_short_help_str(limit=200)  # by default, as much as fits
        fitted(each)
    return command
