"""What commands print: tables, JSON, CSV; with rich on a terminal, plain lines in a pipe.

In a pipe no cell is cut or wrapped and no control character is written.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import click

from .words import clean

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

T = TypeVar("T")

_LEAST_CUT = 6  # cells: what a column that may be cut keeps


def on_terminal(*, err: bool = False) -> bool:
    """Whether stdout (or stderr) is a terminal that a person reads."""
    return (sys.stderr if err else sys.stdout).isatty()


def console(*, err: bool = False) -> Console:
    """A rich console; rich itself honours NO_COLOR and TERM=dumb."""
    from rich.console import Console

    return Console(stderr=err, highlight=False, soft_wrap=False)


def note(message: str) -> None:
    """A line for people, on stderr, beside the result; nothing fails where nobody can read it."""
    with contextlib.suppress(OSError):
        click.echo(message, err=True)


def hint(message: str) -> None:
    """A line of advice, only where a person is reading."""
    if on_terminal() and on_terminal(err=True):
        note(message)


def dump(value: Any) -> None:
    """JSON for people and programs."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def dump_line(value: Any) -> None:
    """One JSON value on one line, at once: for what goes on."""
    click.echo(json.dumps(value, ensure_ascii=False, default=str))
    sys.stdout.flush()


@dataclass(frozen=True)
class Column(Generic[T]):
    """A column of a table.

    Attributes:
        name: its heading.
        text: the cell as people read it.
        raw: the cell in CSV; the text where not given.
        key: the heading in CSV; the name where not given.
        style: rich's style of a cell.
        right: numbers stand right.
        cut: whether a terminal too narrow for everything may cut this column.
    """

    name: str
    text: Callable[[T], str]
    raw: Callable[[T], Any] | None = None
    key: str | None = None
    style: Callable[[T], str] | None = None
    right: bool = False
    cut: bool = False


def show_csv(columns: Sequence[Column[T]], rows: Sequence[T]) -> None:
    """Print rows as CSV with a heading."""
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([column.key or column.name for column in columns])
    for row in rows:
        writer.writerow([(column.raw or column.text)(row) for column in columns])


def show_table(columns: Sequence[Column[T]], rows: Sequence[T]) -> None:
    """Print rows as a table."""
    if on_terminal():
        console().print(table(columns, rows))
    else:
        for line in plain_table(columns, rows):
            click.echo(line)


def plain_table(columns: Sequence[Column[T]], rows: Sequence[T]) -> list[str]:
    """Lines of aligned columns; nothing is cut."""
    cells = [[column.name.upper() for column in columns]]
    cells += [[clean(column.text(row)) for column in columns] for row in rows]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    return [
        "  ".join(
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in cells
    ]


def table(columns: Sequence[Column[T]], rows: Sequence[T]) -> RenderableType:
    """A rich table of the same cells; columns that are empty in every row are left out."""
    from rich.table import Table
    from rich.text import Text

    cells = [[clean(column.text(row)) for row in rows] for column in columns]
    shown = [i for i, column_cells in enumerate(cells) if any(column_cells)]
    widths = _fit([columns[i] for i in shown], [cells[i] for i in shown])
    drawn = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for i, width in zip(shown, widths, strict=True):
        drawn.add_column(
            columns[i].name.upper(),
            justify="right" if columns[i].right else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=width,
        )
    for at, row in enumerate(rows):
        styles = [columns[i].style for i in shown]
        drawn.add_row(
            *(
                Text(cells[i][at], style=style(row) if style else "")
                for i, style in zip(shown, styles, strict=True)
            )
        )
    return drawn


def _fit(columns: Sequence[Column[T]], cells: Sequence[list[str]]) -> list[int]:
    """Widths that fit the terminal: only what may be cut is cut, the widest first."""
    from rich.cells import cell_len

    widths = [
        max(cell_len(text) for text in [column.name, *texts])
        for column, texts in zip(columns, cells, strict=True)
    ]
    excess = sum(widths) + 2 * (len(widths) - 1) - console().width
    while excess > 0:
        width, at = max(
            ((widths[i], i) for i, column in enumerate(columns) if column.cut), default=(0, 0)
        )
        if width <= _LEAST_CUT:
            break
        widths[at] -= 1
        excess -= 1
    return widths


def show_list(
    columns: Sequence[Column[T]],
    rows: Sequence[T],
    *,
    as_csv: bool = False,
    empty: str = "",
) -> None:
    """Print rows as CSV or as a table; `empty` is said (on stderr) where there are none."""
    if as_csv:
        show_csv(columns, rows)
    elif rows:
        show_table(columns, rows)
    elif empty:
        note(empty)


def fields(pairs: Sequence[tuple[str, object]]) -> None:
    """Print names and values, leaving out the empty ones; each item of a list has its own line."""
    given = [(name, value) for name, value in pairs if value not in (None, "", [], {})]
    width = max((len(name) for name, _ in given), default=0)
    for name, value in given:
        label = click.style(name.ljust(width), bold=True) if on_terminal() else name.ljust(width)
        for count, item in enumerate(value if isinstance(value, list) else [value]):
            click.echo(f"{' ' * width if count else label}  {clean(item)}")


def heading(text: str) -> None:
    """A blank line and a title."""
    click.echo()
    click.secho(text, bold=True) if on_terminal() else click.echo(text)


def paint(text: str, colour: str) -> str:
    """Text in one of Click's colours, on a terminal where colours are wanted."""
    import os

    if not on_terminal() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return click.style(text, fg=colour)
