"""Rows of results as CSV, JSON lines or Parquet: written as they come, however many there are.

What columns there are is only known once every row was seen, so a table is read twice.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from cvq.errors import MissingExtraError, UsageError

from .output import cell, json_text

Row = Mapping[str, Any]
Rows = Callable[[], Iterable[Row]]  # read anew at each call

_GROUP = 10_000  # rows of a Parquet file that are in memory at a time
_LAST = "error"


def write_lines(rows: Rows, file: IO[str]) -> None:
    """A JSON object on each line."""
    for row in rows():
        file.write(f"{json_text(dict(row))}\n")


def write_list(rows: Rows, file: IO[str]) -> None:
    """A JSON list with an object on each line."""
    before = "[\n"
    for row in rows():
        file.write(f"{before}{json_text(dict(row))}")
        before = ",\n"
    file.write("[]\n" if before == "[\n" else "\n]\n")


def write_csv(rows: Rows, file: IO[str]) -> None:
    """CSV with a heading; lists and records within a cell are JSON."""
    names = list(columns_of(rows()))
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    for row in rows():
        check(row, names)
        writer.writerow([cell(_flat(row.get(name))) for name in names])


def write_parquet(rows: Rows, path: Path) -> None:
    """A Parquet file.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ModuleNotFoundError:
        raise MissingExtraError("parquet", "a Parquet file") from None
    types = {int: arrow.int64(), float: arrow.float64(), bool: arrow.bool_(), str: arrow.string()}
    columns = columns_of(rows())
    schema = arrow.schema([(name, types[kind]) for name, kind in columns.items()])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for group in _groups(rows()):
            for row in group:
                check(row, columns)
            cells = [
                {name: _as(row.get(name), columns[name]) for name in columns} for row in group
            ]
            writer.write_table(arrow.Table.from_pylist(cells, schema=schema))


def columns_of(rows: Iterable[Row]) -> dict[str, type]:
    """The columns in the order in which they come, `error` last, each with a type for its cells.

    A column of whole numbers and others has others; one of several types, or of lists, has text.
    """
    found: dict[str, type] = {}
    for row in rows:
        for name, value in row.items():
            before = found.setdefault(name, type(None))
            if value is not None and type(value) is not before:
                found[name] = _common(before, type(value))
    if _LAST in found:
        found[_LAST] = found.pop(_LAST)
    return {name: str if kind is type(None) else kind for name, kind in found.items()}


def _common(one: type, other: type) -> type:
    if one is type(None):
        return other if other in (int, float, bool, str) else str
    return float if {one, other} == {int, float} else str


def _as(value: Any, kind: type) -> Any:
    if value is None or isinstance(value, kind):
        return value
    return float(value) if kind is float else _flat(value, always=True)


def _flat(value: Any, *, always: bool = False) -> Any:
    """A value as a cell: JSON of what is no text or number, or of all but text."""
    of_json = always or isinstance(value, list | dict | bool)
    if value is None or isinstance(value, str) or not of_json:
        return value
    return json.dumps(value, ensure_ascii=False)


def check(row: Row, names: Iterable[str]) -> None:
    """Make sure that no cell is left out.

    Raises:
        UsageError: the row has one in no column.
    """
    if strange := set(row).difference(names):
        raise UsageError(f"results came in meanwhile, with '{min(strange)}': try again")


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    for row in rows:
        group.append(row)
        if len(group) >= _GROUP:
            yield group
            group = []
    yield group
