"""Which names this history has: of metrics, parameters, tags, values of results."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import ColumnElement, Connection, literal, or_, select

from .. import tables as t
from .columns import SOURCES


def sources_of(connection: Connection, names: Iterable[str]) -> dict[str, Collection[str]]:
    """Which of `metrics`, `params`, `tags` and `result` have each name.

    A number is taken for one of metrics where it is one of a result, too.
    """
    asked = [(name, source) for name in dict.fromkeys(names) for source in SOURCES]
    found: dict[str, list[str]] = {name: [] for name, _ in asked}
    if asked:
        there = connection.execute(select(*[_has(name, source) for name, source in asked])).one()
        for (name, source), has in zip(asked, there, strict=True):
            if has:
                found[name].append(source)
    return dict(found)


def _has(name: str, source: str) -> ColumnElement[bool]:
    s, a = t.summaries.c, t.attributes.c
    if source == "metrics":
        return select(literal(1)).where(s.name == name).exists()
    # Each of the two has an index of its own.
    return or_(
        *(
            select(literal(1))
            .where(a.source == source, a.name == name, column.is_not(None))
            .exists()
            for column in (a.text, a.value)
        )
    )
