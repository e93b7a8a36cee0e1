"""`cvq results BATCH`: what came out, a row for each item."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cvq.errors import UsageError

from .. import options, resolving
from ..answer_table import column, columns, text, write_md
from ..bars import counting_bar
from ..batch_table import tell_unfinished
from ..display import Form, form
from ..formats import clean, count
from ..interrupts import Interrupts
from ..output import is_dumb, note, on_terminal, say, show_table
from ..row_files import Rows, check, columns_of, write_csv, write_lines, write_list, write_parquet
from ..table import plain_lines
from ..widths import cells

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cvq.batch_handle import BatchHandle
    from cvq.parse import Reference

_SHOWN = 50  # rows, for people
_ENDINGS = {
    ".csv": Form.CSV, ".parquet": Form.PARQUET, ".json": Form.JSON, ".jsonl": Form.LINES,
    ".ndjson": Form.LINES, ".md": Form.MD,
}  # fmt: skip
_WRITERS = {
    Form.CSV: write_csv, Form.JSON: write_list, Form.LINES: write_lines, Form.MD: write_md,
}  # fmt: skip


@click.command(
    epilog="\b\nExamples:\n  cvq results 3\n  cvq results @ --csv > answers.csv"
    "\n  cvq results 3 -o answers.parquet"
)
@options.batch
@options.as_csv
@options.as_md
@options.as_json
@options.form("--jsonl", form=Form.LINES, help="Print a JSON object for each item, one a line.")
@options.form("--parquet", form=Form.PARQUET, help="Write Parquet; needs -o FILE.")
@click.option(
    "-o", "--output", type=options.FilePath(), metavar="FILE",
    help="Write here; the form follows from the ending: .csv, .json, .jsonl, .md, .parquet.",
)  # fmt: skip
def results(reference: Reference, output: str | None) -> None:
    """Print what came out of a batch, a row for each item.

    BATCH is an id, or @ for your last. The rows are in the order of the items, whether these have
    succeeded or not: name, job, state, what the kind answers, and the error. Files, such as
    pictures, are copied by `cvq get --batch`.
    """
    from cvq.client import Client

    client = Client()
    handle = client.batch(resolving.resolve_batch(client, reference))
    wanted = _form(output)
    if output is not None:
        _write(handle, wanted, Path(output))
    elif wanted is Form.PARQUET:
        raise UsageError("Parquet is no text: give a file, as in -o answers.parquet")
    elif wanted in _WRITERS:
        _WRITERS[wanted](handle.results, sys.stdout)
    else:
        _show(handle)
    tell_unfinished(handle.batch)


def _form(output: str | None) -> Form:
    asked = form()
    if asked is not Form.TEXT or output is None:
        return asked
    ending = Path(output).suffix.lower()
    if ending not in _ENDINGS:
        raise UsageError(
            f"-o {output}: give --csv, --json, --jsonl, --md or --parquet, or a name that ends so"
        )
    return _ENDINGS[ending]


def _write(handle: BatchHandle, wanted: Form, path: Path) -> None:
    """Write a file, whole or not at all."""
    from cvq.files import atomic

    with atomic(path) as partial, Interrupts() as interrupts, _counted(handle) as rows:

        def read() -> Iterator[Mapping[str, Any]]:
            for row in rows():
                interrupts.check()
                yield row

        if wanted is Form.PARQUET:
            write_parquet(read, partial)
        else:
            with partial.open("w", newline="", encoding="utf-8") as file:
                _WRITERS[wanted](read, file)
    note(f"{clean(path)}: {count(handle.batch.items, 'row')}")


@contextmanager
def _counted(handle: BatchHandle) -> Iterator[Rows]:
    """The rows of a batch, read anew at each call, beside a bar on a terminal."""
    if not on_terminal(err=True) or is_dumb():
        yield handle.results
        return
    bar = counting_bar(beside=36)
    with bar:
        yield lambda: bar.track(handle.results(), handle.batch.items, description="reading")


def _show(handle: BatchHandle) -> None:
    if not on_terminal():
        _print(handle)
        return
    rows = list(itertools.islice(handle.results(), _SHOWN))
    show_table(columns(rows), rows)
    if (more := handle.batch.items - len(rows)) > 0:
        say()
        note(f"… {more} more: --csv, --jsonl or -o FILE for all")


def _print(handle: BatchHandle) -> None:
    """Print all rows, aligned, however many they are: they are read twice, and not kept."""
    widths: dict[str, int] = {}

    def measured() -> Iterator[Mapping[str, Any]]:
        for row in handle.results():
            for name, value in row.items():
                wide = cells(text(value))
                widths[name] = max(wide, widths.get(name) or cells(clean(name)))
            yield row

    def rows(names: Iterable[str]) -> Iterator[Mapping[str, Any]]:
        for row in handle.results():
            check(row, names)
            yield row

    names = columns_of(measured())
    shown = [column(name) for name in names]
    for line in plain_lines(shown, rows(names), [widths[name] for name in names]):
        say(line)
