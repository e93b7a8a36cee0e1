"""What commands print: tables, JSON, CSV; with rich on a terminal, plain lines in a pipe.

In a pipe no cell is cut or wrapped and no control character is written.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .table import Column as Column
from .table import plain_table as plain_table
from .table import table as table
from .words import clean

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")


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
        # Only what must not be cut is longer than a line: the terminal itself wraps it.
        console().print(table(columns, rows), soft_wrap=True)
    else:
        for line in plain_table(columns, rows):
            click.echo(line)


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
