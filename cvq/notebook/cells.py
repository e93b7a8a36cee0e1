"""Text in HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from ..text import clean, count, one_line

MOST_ROWS = 50  # of a table
_LONGEST = 80  # characters of a cell
# Of at least 4 to 1 against white as against black.
_COLOURS = {
    "succeeded": "#2f8a2f", "failed": "#d0443c", "running": "#1280a8", "cancelled": "#a855a8"
}  # fmt: skip
_HEAD, _CELL = '<th style="text-align:left">', '<td style="text-align:left">'


def cell(value: object, most: int = _LONGEST) -> str:
    """A value as text in HTML, on one line, its end left out where it is long."""
    return escape(clean(one_line("" if value is None else str(value), most)))


def state(value: str, reason: str | None = None) -> str:
    """A state in its colour."""
    told = f"{value} ({reason})" if reason else value
    colour = _COLOURS.get(value, "#967700")
    return f'<span style="color:{colour}">{cell(told)}</span>'


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; its cells are HTML already."""
    head = "".join(f"{_HEAD}{cell(name)}</th>" for name in heading)
    body = "".join(f"<tr>{''.join(f'{_CELL}{value}</td>' for value in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def pairs(rows: Iterable[tuple[str, str]]) -> str:
    """A table of names and values; the values are HTML already, and empty ones are left out."""
    body = "".join(
        f"<tr>{_HEAD}{cell(name)}</th>{_CELL}{value}</td></tr>" for name, value in rows if value
    )
    return f"<table><tbody>{body}</tbody></table>"


def more(left: int, noun: str) -> str:
    """How many rows were left out."""
    return f"<div>and {count(left, f'more {noun}')}</div>" if left > 0 else ""


def states(counts: Mapping[str, int]) -> str:
    """How many are in each state: `3 succeeded, 1 failed`, in their colours."""
    return ", ".join(f"{number} {state(name)}" for name, number in counts.items() if number)


def best(value: object, most: int = _LONGEST) -> str:
    """A value that is the best of its line."""
    return f'<b style="color:{_COLOURS["succeeded"]}">{cell(value, most)}</b>'


def bar(share: float, width: int) -> str:
    """A bar of a share from 0 to 1 of a width in pixels."""
    long = round(max(0.0, min(1.0, share)) * width)
    style = f"display:inline-block;height:10px;width:{long}px;background:#1f77b4"
    return f'<span style="{style}"></span>'
