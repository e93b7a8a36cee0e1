"""Terms as conditions in SQL, of a row of `jobs` or of the id of a job.

Each is tested row by row, by the primary key: databases that may choose would rather gather all
rows that have such a value. `OFFSET 0` keeps them from that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Boolean, ColumnElement, FromClause, Text, and_, literal, not_, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType

from .. import tables as t
from ..given import among
from .meaning import Attribute, Column, Either, Every, Figure, Term, Test
from .patterns import Pattern
from .ranges import WHOLE, bound, ranges_of, within_any

_NAMES = {
    "attempts": "attempt", "created": "created_at", "started": "started_at",
    "finished": "finished_at", "trashed": "trashed_at",
}  # fmt: skip
_OF_ATTEMPT = ("worker", "device")
BOTH = ("metrics", "result")
MANY = 50  # values, of which more are sent as one


class _alike(FunctionElement[Any]):  # noqa: N801 - it reads as SQL
    """Whether a text is as a pattern, large letters and small ones apart."""

    type = NullType()  # of a Boolean, SQLAlchemy makes `… = 1` for SQLite
    inherit_cache = True


@compiles(_alike, "sqlite")
def _alike_sqlite(element: _alike, compiler: Any, **kw: Any) -> str:
    column, glob, _ = (compiler.process(each, **kw) for each in element.clauses)
    return f"{column} GLOB {glob}"


@compiles(_alike, "postgresql")
def _alike_postgresql(element: _alike, compiler: Any, **kw: Any) -> str:
    column, _, like = (compiler.process(each, **kw) for each in element.clauses)
    return f"{column} LIKE {like}"


class opaque(FunctionElement[bool]):  # noqa: N801 - it reads as SQL
    """A condition that no index is looked for by."""

    type = Boolean()
    inherit_cache = True


@compiles(opaque)
def _opaque(element: opaque, compiler: Any, **kw: Any) -> str:
    return f"CASE WHEN {compiler.process(element.clauses, **kw)} THEN TRUE ELSE FALSE END"


def column_of(column: Column) -> ColumnElement[Any]:
    """A column in a row of `jobs`; of its last attempt, where it is one of these."""
    if column.name == "duration":
        return t.duration
    if column.name == "wait":
        return t.wait
    if column.name in _OF_ATTEMPT:
        a = t.attempts.c
        return (
            select(a[column.name])
            .where(a.job_id == t.jobs.c.id, a.number == t.jobs.c.attempt)
            .correlate(t.jobs)
            .scalar_subquery()
        )
    found: ColumnElement[Any] = t.jobs.c[_NAMES.get(column.name, column.name)]
    return found


def rows_of(
    subject: Figure | Attribute, within: FromClause | None = None
) -> tuple[FromClause, list[ColumnElement[bool]], ColumnElement[Any]]:
    """The table that has a subject's values, which of its rows they are in, and their column.

    Within a row of the same table, it goes by another name.
    """
    table: FromClause = t.summaries if isinstance(subject, Figure) else t.attributes
    table = table.alias() if table is within else table
    mine = [table.c.name == subject.name]
    mine += [table.c.source == subject.source] if subject.source else []
    name = subject.of if isinstance(subject, Figure) else subject.as_ or "job_id"
    return table, mine, table.c[name]


def conditions(terms: Sequence[Term]) -> list[ColumnElement[bool]]:
    """What terms ask of a row of `jobs`."""
    return [_of_row(term) for term in terms]


def conditions_of_id(
    terms: Sequence[Term], job_id: Any, outer: FromClause
) -> list[ColumnElement[bool]]:
    """What terms ask of the job of an id, which a row of another table has."""
    by_row = [term for term in terms if _asks_row(term)]
    rest = [_of_id(term, job_id, outer) for term in terms if not _asks_row(term)]
    return rest + ([_of_job(by_row, job_id, outer)] if by_row else [])


def _asks_row(term: Term) -> bool:
    if isinstance(term, Test):
        return isinstance(term.subject, Column)
    return all(map(_asks_row, term.parts))


def _of_row(term: Term) -> ColumnElement[bool]:
    if not isinstance(term, Test):
        return _join(term, [_of_row(part) for part in term.parts])
    if isinstance(term.subject, Column):
        return of_value(term, column_of(term.subject))
    return _of_id(term, t.jobs.c.id, t.jobs)


def _of_id(term: Term, job_id: Any, outer: FromClause) -> ColumnElement[bool]:
    if not isinstance(term, Test):
        if _asks_row(term):
            return _of_job([term], job_id, outer)
        return _join(term, [_of_id(part, job_id, outer) for part in term.parts])
    if isinstance(term.subject, Column):
        return _of_job([term], job_id, outer)
    table, mine, column = rows_of(term.subject, within=outer)
    tested = column.is_not(None) if term.op == "missing" else of_value(term, column)
    # The row of this job is found by the whole primary key, whatever its value is: SQLite would
    # rather read all rows of the name in an index that has all columns.
    mine += [] if term.subject.source else [table.c.source.in_(BOTH)]
    there = (
        select(literal(1))
        .select_from(table)
        .where(table.c.job_id == job_id, *mine, opaque(tested))
    )
    exists = there.correlate(outer).offset(0).exists()
    return not_(exists) if term.op == "missing" else exists


def _of_job(terms: Sequence[Term], job_id: Any, outer: FromClause) -> ColumnElement[bool]:
    there = select(literal(1)).select_from(t.jobs).where(t.jobs.c.id == job_id, *conditions(terms))
    return there.correlate(outer).offset(0).exists()


def _join(term: Every | Either, parts: list[ColumnElement[bool]]) -> ColumnElement[bool]:
    return and_(*parts) if isinstance(term, Every) else or_(*parts)


def of_value(test: Test, column: ColumnElement[Any]) -> ColumnElement[bool]:
    """What a test asks of the column that has the value."""
    if test.op == "missing":
        return column.is_(None)
    if test.op in ("in", "not in") and len(test.values) > MANY:
        whole = [each for each in test.values if isinstance(each, int)]
        if len(whole) == len(test.values):
            found = among(column, whole)
            return found if test.op == "in" else not_(found)
    if test.op in ("like", "not like"):
        return matched(test, column)
    if test.op == "not in" and isinstance(test.values[0], str):
        return column.not_in([bound(each) for each in test.values if isinstance(each, str)])
    return within_any(column, ranges_of(test))


def matched(test: Test, column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a text is as a pattern, or is not."""
    [pattern] = test.values
    assert isinstance(pattern, Pattern)
    if pattern.is_plain:
        return column == pattern.start if test.op == "like" else column != pattern.start
    is_alike = _alike(column, literal(pattern.glob(), Text), literal(pattern.like(), Text))
    if test.op == "not like":
        return and_(column.is_not(None), not_(is_alike))
    [begins] = ranges_of(test)
    return is_alike if begins == WHOLE else and_(within_any(column, [begins]), is_alike)
