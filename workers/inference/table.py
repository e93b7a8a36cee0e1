"""The table of a job's answers: a Parquet file with a row for each item.

    name      what the item is called
    …         the fields of the answer's row, and its files as binary columns under their names
    notes     what should be known of the item
    error     why it has no answer

Rows are written in groups as they come, so that memory does not grow with their number. The same
answers make the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from cvq.errors import MissingExtraError, PermanentError
from cvq.inference import Answer
from cvq.row_names import ERROR, NAME, NOTES
from cvq.text import one_line

from ..failures import Failure
from .spill import size_of

_GROUP = 1000  # rows
_GROUP_BYTES = 64 << 20  # of them and their files, about
_FORMAT = "zstd"


class Table:
    """Writes rows into a Parquet file.

    What columns there are, and of which types, is taken from the first group that has an answer.

    Args:
        path: the file.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._arrow, self._parquet = _pyarrow()
        self._path = path
        self._rows: list[Mapping[str, Any]] = []
        self._bytes = 0
        self._files: set[str] = set()
        self._answered = False
        self._schema: Any = None
        self._writer: Any = None

    def add(self, name: str, found: Answer | Failure) -> None:
        """Write the row of an item, or keep it until there are enough of them.

        Raises:
            PermanentError: it is of other columns or types than those before it.
            OSError: it cannot be written.
        """
        if isinstance(found, Failure):
            self._rows.append({NAME: name, ERROR: found.message})
        else:
            row = self._row(name, found)
            self._rows.append(row)
            self._bytes += size_of(row)
        if len(self._rows) >= _GROUP or self._bytes >= _GROUP_BYTES:
            self._write(wait=True)

    def close(self) -> None:
        """Write what is left, and the end of the file.

        Raises:
            PermanentError, OSError: as for `add`.
        """
        self._write(wait=False)
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        elif self._writer is not None:
            self._writer.close()

    def _row(self, name: str, answer: Answer) -> dict[str, Any]:
        self._answered = True
        self._files.update(answer.files)
        notes = "; ".join(answer.notes) or None
        return {NAME: name, **answer.row, **answer.files, NOTES: notes}

    def _write(self, *, wait: bool) -> None:
        """Write the rows that are kept; those without an answer may `wait` for the columns."""
        if self._schema is None and (wait and not self._answered):
            return
        try:
            if self._schema is None:
                self._begin()
            if self._rows:
                self._writer.write_table(self._group())
        except (self._arrow.ArrowException, ValueError, TypeError) as error:
            raise PermanentError(f"the answers make no table: {one_line(str(error))}") from None
        self._rows, self._bytes = [], 0

    def _begin(self) -> None:
        arrow = self._arrow
        values = list(_columns(self._rows))
        fields = [arrow.field(NAME, arrow.string())]
        for column in values:
            kind = arrow.array([row.get(column) for row in self._rows]).type
            fields.append(arrow.field(column, kind))
        fields += [arrow.field(NOTES, arrow.string()), arrow.field(ERROR, arrow.string())]
        self._schema = arrow.schema(fields)
        self._writer = self._parquet.ParquetWriter(
            self._path, self._schema, compression=_FORMAT,
            use_dictionary=[name for name in self._schema.names if name not in self._files],
        )  # fmt: skip

    def _group(self) -> Any:
        if strange := [name for name in _columns(self._rows) if name not in self._schema.names]:
            raise ValueError(f"'{strange[0]}' is in no row before")
        columns = [self._column(field) for field in self._schema]
        return self._arrow.Table.from_arrays(columns, schema=self._schema)

    def _column(self, field: Any) -> Any:
        """The values of a column; a type wider than that of the groups before is refused."""
        arrow = self._arrow
        values = [row.get(field.name) for row in self._rows]
        found = arrow.field(field.name, arrow.array(values).type)
        schemas = [arrow.schema([field]), arrow.schema([found])]
        if arrow.unify_schemas(schemas, promote_options="permissive").field(0).type != field.type:
            raise ValueError(f"'{field.name}' was {field.type} before, and is {found.type}")
        return arrow.array(values, type=field.type)


def _columns(rows: Iterable[Mapping[str, Any]]) -> dict[str, None]:
    """The names of all values in rows, in the order in which they come."""
    return {name: None for row in rows for name in row if name not in (NAME, NOTES, ERROR)}


def _pyarrow() -> tuple[ModuleType, ModuleType]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise MissingExtraError("parquet", "a table of many answers") from None
    return pyarrow, pyarrow.parquet
