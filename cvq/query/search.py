"""Finds the jobs that terms mean, in an order, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from .. import tables as t
from .conditions import conditions
from .keys import Key
from .meaning import Lookup, Term
from .sorting import Part, behind, order_by, parts_of, read, values_of, written


class Found(NamedTuple):
    """The ids of jobs in order; `after` is the place to go on from, None at the end."""

    ids: list[int]
    after: str | None


class Search:
    """Args:
    connection: of the database.
    terms: which have to hold.
    keys: by what to sort.
    lookup: which sources have the names in the keys.
    sort: the keys as they were written, which a place in the list keeps.
    """

    def __init__(
        self,
        connection: Connection,
        terms: Sequence[Term],
        keys: Sequence[Key],
        lookup: Lookup,
        sort: str | None,
    ) -> None:
        self._connection, self._terms, self._sort = connection, list(terms), sort
        self._keys = [parts_of(key, lookup) for key in keys]
        self._falling = keys[0].falling if keys else True

    def page(self, limit: int | None, after: str | None = None) -> Found:
        """At most so many jobs, those after a place alone."""
        parts = [part for key in self._keys for part in key]
        at = None if after is None else read(after, self._sort, parts)
        rows = self._sorted(parts, at, None if limit is None else limit + 1)
        more = limit is not None and len(rows) > limit
        rows = rows[:limit]
        return Found(
            [row[-1] for row in rows], written(self._sort, rows[-1]) if more and rows else None
        )

    def _sorted(
        self, parts: Sequence[Part], at: Sequence[Any] | None, limit: int | None
    ) -> list[tuple[Any, ...]]:
        values = values_of(self._keys)
        asked = conditions(self._terms)
        if at is not None:
            asked.append(behind(parts, values, at, falling=self._falling))
        query = select(*values, t.jobs.c.id).where(*asked)
        query = query.order_by(*order_by(parts, values, falling=self._falling)).limit(limit)
        return [tuple(row) for row in self._connection.execute(query)]

    def count(self, most: int | None = None) -> int:
        """How many jobs the terms mean; of more than `most`, that many."""
        query = select(t.jobs.c.id).where(*conditions(self._terms)).limit(most)
        return int(
            self._connection.scalar(select(func.count()).select_from(query.subquery())) or 0
        )
