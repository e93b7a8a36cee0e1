"""Which names this history has: of metrics, parameters, tags, values of results."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, literal_column, or_, select

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
        return _first([s.name == name], s.value, s.job_id)
    mine = [a.source == source, a.name == name]
    # Each of the two has an index of its own.
    texts = _first([*mine, a.text.is_not(None)], a.text, a.job_id)
    return or_(texts, _first([*mine, a.value.is_not(None)], a.value, a.job_id))


def _first(
    where: Sequence[ColumnElement[bool]], key: ColumnElement[Any], job_id: ColumnElement[int]
) -> ColumnElement[bool]:
    """Whether an index has such a row: asked for its first, as else Postgres may read them all."""
    query = select(job_id).where(*where).order_by(key, job_id).limit(literal_column("1"))
    return query.scalar_subquery().is_not(None)
