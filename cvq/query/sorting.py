"""By what jobs are sorted: the values of a key, in SQL, and where a page ends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, false, func, or_, select

from .. import tables as t
from ..errors import UsageError
from .columns import COLUMNS, Type
from .conditions import BOTH, column_of, rows_of
from .keys import Key
from .meaning import Attribute, Column, Figure, Lookup, Subject, subjects_of
from .ranges import bound


@dataclass(frozen=True)
class Part:
    """A subject that jobs are sorted by: of those that have no value of the parts before it."""

    subject: Subject
    falling: bool

    @property
    def is_time(self) -> bool:
        """Whether its values are times."""
        subject = self.subject
        return isinstance(subject, Column) and COLUMNS[subject.name] is Type.TIME


def parts_of(key: Key, lookup: Lookup) -> tuple[Part, ...]:
    """What a key means: numbers come before texts, and both before what has neither."""
    parts: list[Subject] = []
    for subject in subjects_of(key.field, lookup):
        if isinstance(subject, Attribute):
            numbers = [] if subject.source == "result" else ["value"]
            parts += [Attribute(subject.name, subject.source, as_) for as_ in (*numbers, "text")]
        else:
            parts.append(subject)
    return tuple(Part(subject, key.falling) for subject in parts)


def value_of(subject: Subject) -> ColumnElement[Any]:
    """The value that a row of `jobs` has of a subject; NULL where it has none."""
    if isinstance(subject, Column):
        return column_of(subject)
    return _looked_up(subject)


def _looked_up(subject: Figure | Attribute) -> ColumnElement[Any]:
    table, mine, column = rows_of(subject)
    mine += [] if subject.source else [table.c.source.in_(BOTH)]
    # A metric and the result may both have it: the same, where both have.
    # Of a bare column, SQLite would look for the highest in an index, through all jobs.
    highest = func.max(func.coalesce(column, None))
    query = select(highest).where(table.c.job_id == t.jobs.c.id, *mine)
    return query.correlate(t.jobs).scalar_subquery()


def values_of(keys: Sequence[Sequence[Part]]) -> list[ColumnElement[Any]]:
    """The values of each part of some keys; a part has none where one before it has."""
    values: list[ColumnElement[Any]] = []
    for parts in keys:
        before: list[ColumnElement[Any]] = []
        for part in parts:
            value = value_of(part.subject)
            taken = [each.is_(None) for each in before]
            values.append(case((and_(*taken), value)) if taken else value)
            before.append(value)
    return values


def order_by(
    parts: Sequence[Part], values: Sequence[ColumnElement[Any]], *, falling: bool
) -> list[ColumnElement[Any]]:
    """The order: no value comes last; of equal ones, the newest first where it is falling."""
    found: list[ColumnElement[Any]] = []
    for part, value in zip(parts, values, strict=True):
        found += [value.is_(None), value.desc() if part.falling else value.asc()]
    return [*found, t.jobs.c.id.desc() if falling else t.jobs.c.id.asc()]


def comes_after(
    parts: Sequence[Part],
    values: Sequence[ColumnElement[Any]],
    at: Sequence[Any],
    *,
    falling: bool,
) -> ColumnElement[bool]:
    """Whether a row comes after the place `at`: the values of a row, and its id."""
    *where, last_id = at
    same: list[ColumnElement[bool]] = []
    later: list[ColumnElement[bool]] = []
    for part, value, old in zip(parts, values, where, strict=True):
        later.append(and_(*same, _beyond(value, old, part.falling)))
        same.append(value.is_(None) if old is None else value == bound(old))
    return or_(*later, and_(*same, _beyond_id(last_id, falling)))


def _beyond(value: ColumnElement[Any], old: Any, falling: bool) -> ColumnElement[bool]:
    if old is None:
        return false()
    return or_(value < bound(old) if falling else value > bound(old), value.is_(None))


def _beyond_id(last: int, falling: bool) -> ColumnElement[bool]:
    return t.jobs.c.id < bound(last) if falling else t.jobs.c.id > bound(last)


def written(sort: str | None, at: Sequence[Any]) -> str:
    """A place in a list as a text: whoever has it goes on from there."""
    plain = [each.isoformat() if isinstance(each, datetime) else each for each in at]
    return json.dumps([sort, *plain])


def read(cursor: str, sort: str | None, parts: Sequence[Part]) -> list[Any]:
    """The place that a text means.

    Raises:
        UsageError: it is none, or one of a list that was sorted otherwise.
    """
    try:
        of, *at = json.loads(cursor)
        if of != sort or len(at) != len(parts) + 1 or type(at[-1]) is not int:
            raise ValueError
        return [*map(_value, at[:-1], parts), at[-1]]
    except (ValueError, TypeError, RecursionError):
        raise UsageError("this is no place in a list that is sorted so") from None


def _value(given: Any, part: Part) -> Any:
    if part.is_time and given is not None:
        return datetime.fromisoformat(given)
    if type(given) not in (int, float, str, type(None)):
        raise ValueError
    return given
