"""A column of a CSV or Parquet file, as items."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...errors import InvalidInputError, MissingExtraError, UsageError
from ...files import why
from ...text import did_you_mean, join, nearest, one_line
from ..items import Item, label
from .lists import item_of

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_PARQUET = ".parquet"


def is_table(word: str) -> bool:
    """Whether a word names a table."""
    return word.lower().endswith((*_SEPARATORS, _PARQUET)) and "://" not in word


def is_text(word: str) -> bool:
    """Whether a table is a text, which without a column is a list like any other."""
    return not word.lower().endswith(_PARQUET)


def of_file(path: Path, column: str | None, files: bool) -> Iterator[Item]:
    """The items of a column; its files are looked for beside the table.

    Raises:
        UsageError: there is no such column, or none was named.
        InvalidInputError: it cannot be read.
        MissingExtraError: it is Parquet, and nothing here reads it.
    """
    parquet = path.suffix.lower() == _PARQUET
    try:
        cells = _of_parquet(path, column) if parquet else _of_csv(path, column)
        for number, cell in enumerate(cells, 1):
            yield _item(cell, path, files, f"{path}, row {number}")
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {why(error)}") from None


def _item(cell: Any, path: Path, files: bool, place: str) -> Item:
    if isinstance(cell, list | tuple) and not files:
        return Item.of(cell)
    if cell is None or not str(cell).strip():
        return Item(label(place), "", error=f"{place}: the cell is empty")
    return item_of(str(cell), path.parent, files, place)


def _of_csv(path: Path, column: str | None) -> Iterator[str | None]:
    separator = _SEPARATORS[path.suffix.lower()]
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        rows = csv.reader(file, delimiter=separator)
        try:
            place = _place(next(rows, []), column, path)
            for row in rows:
                if row:  # a blank line is no row
                    yield row[place] if place < len(row) else None
        except csv.Error as error:
            raise InvalidInputError(f"{path}, line {rows.line_num}: {error}") from None


def _of_parquet(path: Path, column: str | None) -> Iterator[Any]:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ModuleNotFoundError:
        raise MissingExtraError("parquet", str(path)) from None
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            name = names[_place(names, column, path)]
            for batch in file.iter_batches(columns=[name]):
                yield from batch.column(0).to_pylist()
    except arrow.ArrowException as error:
        raise InvalidInputError(f"{path} cannot be read: {error}") from None


def _place(names: Sequence[str], column: str | None, path: Path) -> int:
    if not names:
        raise InvalidInputError(f"{path} is empty")
    if column is None:
        raise UsageError(f"{path}: which column? --column NAME: it has {_listed(names)}")
    if column not in names:
        near = did_you_mean(nearest(column, names))
        has = f"it has {_listed(names)}"
        raise UsageError(f"{path} has no column '{column}': {f'{near} ' if near else ''}{has}")
    return names.index(column)


def _listed(names: Sequence[str]) -> str:
    return one_line(join(names, 10))
