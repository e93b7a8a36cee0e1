"""Where in a text something stands, and an error that points there."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from ..errors import UsageError
from ..text import UNPRINTABLE, did_you_mean

_SHOWN = 36  # columns of the text that are shown: with the margin they fit into 40
_MARGIN = "  "


@dataclass(frozen=True)
class Place:
    """A part of a text, from one character up to another."""

    text: str
    start: int
    end: int

    def __str__(self) -> str:
        return self.text[self.start : self.end]

    def drawn(self) -> str:
        """The text around the part, and below it a caret under each column of the part."""
        first = max(0, self.start - _SHOWN // 2)
        before = _fitting(self.text[first : self.start], _SHOWN // 2, from_end=True)
        part = _fitting(self.text[self.start : self.end], _SHOWN - _width(before))
        rest = _SHOWN - _width(before) - _width(part)
        after = _fitting(self.text[self.end : self.end + rest], rest)
        carets = "^" * max(1, _width(part))
        shown = "".join(map(_plain, before + part + after))
        return f"{_MARGIN}{shown}\n{_MARGIN}{' ' * _width(before)}{carets}"


class QueryError(UsageError):
    """Something in a query is wrong; below the message the place is shown.

    Args:
        what: is wrong, in a line.
        place: where.
        near: the word that may have been meant.
    """

    def __init__(self, what: str, place: Place, near: str | None = None) -> None:
        self.drawing = place.drawn()
        super().__init__(f"{what}: {did_you_mean(near)}" if near else what)

    def __str__(self) -> str:
        return f"{self.args[0]}\n{self.drawing}"


def _plain(character: str) -> str:
    return " " if character.isspace() else "?" if UNPRINTABLE.match(character) else character


def _columns(character: str) -> int:
    """How many columns of a terminal a character takes."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _width(text: str) -> int:
    return sum(map(_columns, text))


def _fitting(text: str, columns: int, *, from_end: bool = False) -> str:
    """As much of a text as some columns hold."""
    kept: list[str] = []
    for character in reversed(text) if from_end else text:
        columns -= _columns(character)
        if columns < 0:
            break
        kept.append(character)
    return "".join(reversed(kept) if from_end else kept)
