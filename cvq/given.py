"""What one statement is given many of, as one text in JSON: the database makes rows or ids of it.

To encode and send each of them takes several times as long, and the number of values that a
statement may have is limited.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    TableValuedAlias,
    Text,
    cast,
    column,
    func,
    literal,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType, TypeEngine

from .db import as_json


class Given:
    """Rows as a statement can select from them.

    A number that is no integer is to be given as text that the database reads, or within a text in
    JSON: SQLite reads those of JSON with an error in the last digit.

    Args:
        connection: whose database it is.
        rows: texts, integers and None by the same names.

    Attributes:
        table: what to select from, or to join.
        nth: the place of each row.
    """

    def __init__(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        self._postgres = connection.dialect.name == "postgresql"
        given = literal(as_json(rows), Text)
        self.table: TableValuedAlias
        self.nth: ColumnElement[int]
        if self._postgres:
            from sqlalchemy.dialects.postgresql import JSONB

            found = func.jsonb_array_elements(cast(given, JSONB))
            valued = found.table_valued(column("value", JSONB), with_ordinality="nth")
            self.table = valued.render_derived()
            self.nth = self.table.c.nth
        else:
            self.table = func.json_each(given).table_valued("value", "key")
            self.nth = self.table.c.key

    def cell(self, name: str, type_: TypeEngine[Any]) -> ColumnElement[Any]:
        """What each row has under a name."""
        if self._postgres:
            return cast(self.table.c.value[name].astext, type_)
        return func.json_extract(self.table.c.value, f"$.{name}", type_=type_)


class among(FunctionElement[Any]):  # noqa: N801 - it reads as SQL
    """Whether a column of ids holds one of these, however many they are."""

    type = NullType()  # of a Boolean, SQLAlchemy makes `… = 1` for SQLite, which uses no index
    inherit_cache = True

    def __init__(self, column: ColumnElement[int], ids: Iterable[int]) -> None:
        super().__init__(column, literal(json.dumps(list(ids)), Text))


@compiles(among, "sqlite")
def _among_sqlite(element: among, compiler: Any, **kw: Any) -> str:
    column, ids = (compiler.process(each, **kw) for each in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({ids}))"  # noqa: S608 - bound


@compiles(among, "postgresql")
def _among_postgresql(element: among, compiler: Any, **kw: Any) -> str:
    column, ids = (compiler.process(each, **kw) for each in element.clauses)
    cells = f"SELECT jsonb_array_elements_text(CAST({ids} AS jsonb))::bigint"
    return f"{column} = ANY (ARRAY({cells}))"
