"""The columns of what came out of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from .formats import clean, number
from .output import Column, json_text, md_lines
from .row_files import Rows, check, columns_of
from .widths import ending

Row = Mapping[str, Any]

# Where a terminal is too narrow: lists and records go, which nobody reads in a table; then notes
# are shortened and go, then names are shortened, then answers go but for the first, the last of
# them first, then errors, and the first answer at last.
_FIRST, _ERROR, _OTHERS, _NOTES, _LISTS = 1, 2, 3, 1000, 1001
_OURS = ("name", "job", "state", "notes", "error")


def columns(rows: Sequence[Row]) -> list[Column[Row]]:
    """Those of a table for people."""
    lists = {name for row in rows for name, value in row.items() if isinstance(value, list | dict)}
    names = columns_of(rows)
    ranks = dict.fromkeys(lists, _LISTS)
    for place, name in enumerate(name for name in names if name not in {*_OURS, *lists}):
        ranks[name] = _OTHERS + place if place else _FIRST
    return [column(name, ranks.get(name, 0)) for name in names]


def column(name: str, rank: int = 0) -> Column[Row]:
    """One of them.

    Args:
        name: of the cells in a row.
        rank: of an answer: on a terminal too narrow the highest goes first.
    """

    def cell(row: Row) -> str:
        return text(row.get(name))

    heading = clean(name)
    if name == "name":
        return Column(heading, cell, least=16, after=_NOTES - 1)
    if name in ("job", "state"):
        return Column(heading, cell, right=name == "job")
    if name == "error":
        return Column(heading, cell, rank=_ERROR, wrap=True)
    if name == "notes":
        return Column(heading, cell, rank=_NOTES, least=12, after=_NOTES, short=ending)
    return Column(heading, cell, rank=rank)


def text(value: Any) -> str:
    """A cell as people read it."""
    if value is None:
        return ""
    if isinstance(value, float):
        return number(value)
    return clean(value if isinstance(value, str) else json_text(value))


def write_md(rows: Rows, file: IO[str]) -> None:
    """A table of Markdown; as one of CSV it is read twice."""
    names = columns_of(rows())

    def checked() -> Iterator[Row]:
        for row in rows():
            check(row, names)
            yield row

    file.writelines(f"{line}\n" for line in md_lines([column(name) for name in names], checked()))
