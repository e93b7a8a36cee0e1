"""How an answer is printed: text, JSON, CSV, Markdown or ids alone, as the options ask.

A command says once what its answer is, and `display` prints it in the form that was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

import click

from .output import (
    dump,
    dump_each,
    dump_line,
    note,
    on_terminal,
    say,
    say_each,
    show_csv,
    show_md,
    show_table,
)
from .table import Column, plain_lines, plain_widths

T = TypeVar("T")
Pages = Callable[[], Iterator[Sequence[T]]]
_META, _FIELDS = "cvq.form", "cvq.fields"
_ALL = "*"


class Form(StrEnum):
    """A form in which an answer is printed."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"
    MD = "md"  # a table of Markdown
    COUNT = "count"
    LINES = "lines"  # of JSON
    PARQUET = "parquet"
    DOT = "dot"  # Graphviz
    QUIET = "quiet"


class FormOption(click.Option):
    """A flag that asks for a form; there is one answer, in one form."""

    def __init__(self, names: Sequence[str], *, form: Form, **more: Any) -> None:
        super().__init__(names, **{"is_flag": True, "expose_value": False, **more})
        self.form = form

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """Take the flag, and refuse a second one."""
        value, rest = super().handle_parse_result(ctx, opts, args)
        if ctx.get_parameter_source(self.name) is click.core.ParameterSource.COMMANDLINE:
            _, first = ctx.meta.setdefault(_META, (self.form, self.opts[-1]))
            if first != self.opts[-1] and not ctx.resilient_parsing:
                raise click.UsageError(
                    f"{first} and {self.opts[-1]} cannot be combined: give one", ctx
                )
        return value, rest


class FieldsOption(FormOption):
    """A form in which some fields alone may be asked for: `--json`, or `--json id,state`."""

    def __init__(self, names: Sequence[str], **more: Any) -> None:
        super().__init__(names, is_flag=False, flag_value=_ALL, **more)

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """Take the fields, too."""
        value, rest = super().handle_parse_result(ctx, opts, args)
        if isinstance(value, list) and value != [_ALL]:
            ctx.meta[_FIELDS] = value
        return value, rest


def asked_fields() -> list[str]:
    """The fields that the running command is to print alone; empty where all are wanted."""
    context = click.get_current_context(silent=True)
    found: list[str] = context.meta.get(_FIELDS, []) if context else []
    return found


def form() -> Form:
    """The form in which the running command is to answer."""
    context = click.get_current_context(silent=True)
    asked: tuple[Form, str] = (
        context.meta.get(_META, (Form.TEXT, "")) if context else (Form.TEXT, "")
    )
    return asked[0]


@dataclass(frozen=True)
class Listing(Generic[T]):
    """What a list shows of its rows, in every form.

    Attributes:
        columns: those of the table and of CSV; made when a table is printed.
        shape: the rows as JSON.
        quiet: what `--quiet` prints of a row.
        empty: said instead of a table without rows.
    """

    columns: Callable[[], Sequence[Column[T]]]
    shape: Callable[[Sequence[T]], Iterable[Any]]
    quiet: Callable[[T], object]
    empty: str = ""


def display(
    value: T,
    *,
    json: Callable[[T], Any],
    text: Callable[[T], None],
    csv: Callable[[T], None] | None = None,
    md: Callable[[T], None] | None = None,
    quiet: Callable[[T], None] | None = None,
    ongoing: bool = False,
) -> None:
    """Print an answer in the form that was asked for.

    Args:
        value: the answer.
        json: makes it into its documented shape.
        text: prints it for people.
        csv: prints it as CSV; as text where not given.
        md: prints it as Markdown; as text where not given.
        quiet: prints as little as `--quiet` asks for; as text where not given.
        ongoing: more follow; JSON is then one line each.
    """
    asked = form()
    if asked is Form.JSON:
        (dump_line if ongoing else dump)(json(value))
    elif asked is Form.CSV and csv:
        csv(value)
    elif asked is Form.MD and md:
        md(value)
    elif asked is Form.QUIET and quiet:
        quiet(value)
    else:
        text(value)


def display_list(listing: Listing[T], rows: Sequence[T], *, ongoing: bool = False) -> None:
    """Print a list in the form that was asked for."""
    display(
        rows,
        json=lambda rows: list(listing.shape(rows)),
        text=lambda rows: _show(listing, rows),
        csv=lambda rows: show_csv(listing.columns(), rows),
        md=lambda rows: show_md(listing.columns(), rows),
        quiet=lambda rows: say_each((listing.quiet(row) for row in rows), wrap=False),
        ongoing=ongoing,
    )


def display_pages(listing: Listing[T], pages: Pages[T]) -> None:
    """Print a list of any length in the form that was asked for; of it, few rows are in memory.

    Args:
        listing: what it shows of its rows.
        pages: gives the rows, some at a time; for a table in a pipe it is asked twice, as how wide
            its columns are is known in the end.
    """
    if form() is Form.JSON:
        dump_each(shape for page in pages() for shape in listing.shape(page))
        return
    rows = (row for page in pages() for row in page)
    display(
        rows,
        json=list,
        text=lambda _: _show_pages(listing, pages),
        csv=lambda rows: show_csv(listing.columns(), rows),
        quiet=lambda rows: say_each((listing.quiet(row) for row in rows), wrap=False),
        md=lambda rows: show_md(listing.columns(), rows),
    )


def display_each(
    values: Sequence[T], *, json: Callable[[T], Any], text: Callable[[T], None], single: bool
) -> None:
    """Print several answers: JSON as a list unless a `single` one was asked for, text in turn."""

    def tell(values: Sequence[T]) -> None:
        for place, value in enumerate(values):
            if place:
                say()
            text(value)

    display(
        values,
        json=lambda values: json(values[0]) if single else [json(value) for value in values],
        text=tell,
    )


def _show_pages(listing: Listing[T], pages: Pages[T]) -> None:
    if on_terminal():
        for page in pages():
            show_table(listing.columns(), page)
        return
    columns = listing.columns()
    widths = plain_widths(columns, (row for page in pages() for row in page))
    say_each(plain_lines(columns, (row for page in pages() for row in page), widths))


def _show(listing: Listing[T], rows: Sequence[T]) -> None:
    if rows:
        show_table(listing.columns(), rows)
    elif listing.empty:
        note(listing.empty)
