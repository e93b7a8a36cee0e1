"""The different values of a column that few have, found by leaps through its index."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from .. import tables as t

MOST = 1000


def distinct(
    connection: Connection, column: ColumnElement[Any], *where: ColumnElement[bool]
) -> list[Any]:
    """The first thousand values of a column, in order; it leads an index, behind `where`."""
    first = select(func.min(column).label("value")).where(*where)
    found = first.cte("found", recursive=True)
    higher = select(func.min(column)).where(*where, column > found.c.value)
    following = select(higher.correlate(found).scalar_subquery()).where(found.c.value.is_not(None))
    found = found.union_all(following)
    query = select(found.c.value).where(found.c.value.is_not(None)).limit(MOST)
    return list(connection.scalars(query))


def names(connection: Connection, source: str) -> set[str]:
    """The names that this history has of `metrics` (and of numbers of results), or of another."""
    a = t.attributes.c
    if source == "metrics":
        return set(distinct(connection, t.summaries.c.name))
    return {
        name
        for column in (a.text, a.value)
        for name in distinct(connection, a.name, a.source == source, column.is_not(None))
    }
