"""Ways through the history along an index, in its order, which end as soon as enough is found.

What else is asked of a job is tested on the way, and hidden from the planner: told of it,
databases would rather gather all rows that fit, and sort them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    func,
    literal,
    literal_column,
    not_,
    select,
    tuple_,
)

from .. import tables as t
from .conditions import (
    column_of,
    conditions,
    conditions_of_id,
    of_value,
    opaque,
    rows_of,
)
from .meaning import Attribute, Column, Figure, Subject, Term, Test
from .ranges import Range, bound, within
from .tree import Value


def at_most(query: Select[Any], limit: int | None) -> Select[Any]:
    """Not more rows; the number is told to the planner, not sent apart."""
    return query if limit is None else query.limit(literal_column(str(limit)))


@dataclass(frozen=True)
class Walk:
    """A way along an index.

    Attributes:
        table: whose index it is.
        job_id: the column of it that has the ids of jobs.
        key: what it is ordered by before these; None where by ids alone.
        which: what leads into the index.
        fixed: the key is the same all along, so that ids alone tell rows apart.
        subject: what `key` is the value of.
        also: what is asked of each of its rows besides.
    """

    table: FromClause
    job_id: ColumnElement[Any]
    key: ColumnElement[Any] | None = None
    which: tuple[ColumnElement[bool], ...] = ()
    fixed: bool = False
    subject: Subject | None = None
    also: tuple[ColumnElement[bool], ...] = ()

    def within(self, each: Range) -> Walk:
        """The part of it in which the key lies in a range."""
        assert self.key is not None
        return replace(self, which=(*self.which, within(self.key, each)))

    def rows(
        self,
        connection: Connection,
        terms: Sequence[Term],
        *,
        falling: bool,
        after: Sequence[Any] | None = None,
        until: Sequence[Any] | None = None,
        limit: int | None = None,
    ) -> list[tuple[Any, ...]]:
        """Keys, where they are not fixed, and ids of jobs that terms mean, in order.

        Args:
            connection: of the database.
            terms: what is asked of each.
            falling: whether the highest comes first.
            after: a row that has been: those behind it alone.
            until: the last row to be looked at.
            limit: at most so many.
        """
        query = self._ordered(falling, after)
        query = query.where(*self.also, *map(opaque, self._tests(terms)))
        if until is not None:
            query = query.where(self._up_to(until, falling))
        return [tuple(row) for row in connection.execute(at_most(query, limit))]

    def row_after(
        self, connection: Connection, number: int, *, falling: bool, after: Sequence[Any] | None
    ) -> tuple[Any, ...] | None:
        """The row that is so many rows on; None where it ends before."""
        query = self._ordered(falling, after).offset(literal_column(str(number)))
        row = connection.execute(at_most(query, 1)).one_or_none()
        return None if row is None else tuple(row)

    def ids(self, limit: int | None) -> Select[Any]:
        """The ids of jobs in it, in the order of the index; of some jobs twice."""
        return at_most(self.any_ids().order_by(*self._order()), limit)

    def counted(self, most: int) -> ColumnElement[int]:
        """How many rows it has, up to a bound: no more is read of each than its place in it."""
        order = self.job_id if self.key is None else self.key
        query = select(literal(1)).select_from(self.table).where(*self.which).order_by(order)
        return select(func.count()).select_from(at_most(query, most).subquery()).scalar_subquery()

    def any_ids(self) -> Select[Any]:
        """The same, all of them and in any order."""
        return select(self.job_id.label("id")).select_from(self.table).where(*self.which)

    def _order(self) -> list[ColumnElement[Any]]:
        return [self.job_id] if self.key is None else [self.key, self.job_id]

    def _ordered(self, falling: bool, after: Sequence[Any] | None) -> Select[Any]:
        has_key = self.key is not None and not self.fixed
        query = select(*(self._order() if has_key else [self.job_id])).select_from(self.table)
        query = query.where(*self.which)
        if self.key is not None and not self.fixed:
            query = query.where(self.key.is_not(None))
        if after is not None:
            query = query.where(self._beyond(after, falling))
        return query.order_by(*(each.desc() if falling else each for each in self._order()))

    def _beyond(self, row: Sequence[Any], falling: bool) -> ColumnElement[bool]:
        mine, its = self._pair(row)
        beyond: ColumnElement[bool] = mine < its if falling else mine > its
        return beyond

    def _up_to(self, row: Sequence[Any], falling: bool) -> ColumnElement[bool]:
        mine, its = self._pair(row)
        up_to: ColumnElement[bool] = mine >= its if falling else mine <= its
        return up_to

    def _pair(self, row: Sequence[Any]) -> tuple[Any, Any]:
        if self.key is None or self.fixed:
            return self.job_id, bound(row[-1])
        return tuple_(self.key, self.job_id), tuple_(bound(row[0]), bound(row[1]))

    def _tests(self, terms: Sequence[Term]) -> list[ColumnElement[bool]]:
        if self.table is t.jobs:
            return conditions(terms)
        own = [each for each in terms if isinstance(each, Test) and each.subject == self.subject]
        rest = [each for each in terms if each not in own]
        of_row = [of_value(each, self.key) for each in own] if self.key is not None else []
        return of_row + conditions_of_id(rest, self.job_id, self.table)


BY_ID = Walk(t.jobs, t.jobs.c.id)

# Columns by whose values no index leads; and those of which one has no jobs without a value.
_UNORDERED = ("note",)
_OF_ATTEMPT = ("worker", "device")
_PARTIAL = ("reason", "sweep", "twin_of", "made_from", "trashed", "note")
NEVER_NULL = ("id", "kind", "state", "user", "queue", "priority", "attempts", "created")


def along(subject: Subject) -> Walk | None:
    """The way along the values of a subject, of those that have one; None where there is none."""
    if isinstance(subject, Column):
        return _along_column(subject)
    table, mine, column = rows_of(subject)
    if isinstance(subject, Attribute):
        if subject.as_ is None:
            return None
        # As the partial index has it, of which Postgres sees no other way that it applies.
        return Walk(table, table.c.job_id, column, (*mine, column.is_not(None)), subject=subject)
    once = _once(subject, table)
    return Walk(table, table.c.job_id, column, tuple(mine), subject=subject, also=once)


def _along_column(column: Column) -> Walk | None:
    if column.name == "id":
        return replace(BY_ID, subject=column)
    if column.name in _UNORDERED:
        return None
    if column.name in _OF_ATTEMPT:
        a = t.attempts.c
        number = select(t.jobs.c.attempt).where(t.jobs.c.id == a.job_id).correlate(t.attempts)
        last = a.number == number.scalar_subquery()
        return Walk(t.attempts, a.job_id, a[column.name], subject=column, also=(last,))
    return Walk(t.jobs, t.jobs.c.id, column_of(column), subject=column)


def _once(figure: Figure, table: FromClause) -> tuple[ColumnElement[bool], ...]:
    """A number that is a metric's and of the result, too, is met once, as the metric's."""
    if figure.source is not None or figure.of != "value":
        return ()
    other = t.summaries.alias()
    same = (other.c.job_id == table.c.job_id, other.c.name == figure.name)
    found = select(literal(1)).where(
        *same, other.c.source == "metrics", other.c.value.is_not(None)
    )
    twice = and_(table.c.source == "result", found.correlate(table).offset(0).exists())
    return (not_(twice),)


def with_value(column: Column, value: Value | None) -> Walk:
    """The way by ids along the jobs of which a column has one value; of none, for None."""
    key = column_of(column)
    # Told that it is equal, Postgres would take the order by ids alone from another index.
    which = (key.is_(None),) if value is None else (key >= bound(value), key <= bound(value))
    return Walk(t.jobs, t.jobs.c.id, key, which, fixed=True)


def gathered(subject: Subject, each: Range) -> Walk | None:
    """The jobs whose value of a subject lies in a range, by an index; None without one."""
    if isinstance(subject, Column) and subject.name == "note":
        return replace(BY_ID, which=(t.jobs.c.note.is_not(None),))
    if isinstance(subject, Column) and each == Range() and subject.name in NEVER_NULL:
        return None
    walk = along(subject)
    if walk is None:
        return None
    if walk.key is None:  # the ids themselves
        return replace(walk, which=(within(t.jobs.c.id, each),))
    return replace(walk.within(each), also=())


def without(subject: Subject) -> Walk | None:
    """The jobs that have no value of a column, by an index; None without one."""
    others = (*NEVER_NULL, *_PARTIAL, *_OF_ATTEMPT)
    if not isinstance(subject, Column) or subject.name in others:
        return None
    return with_value(subject, None)
