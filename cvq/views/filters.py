"""Which jobs of the history are meant: conditions, their order, and names that nothing has."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, nulls_last, select

from .. import tables as t
from ..errors import UsageError
from ..parse import Comparison, Field, field
from ..records import Job
from ..text import did_you_mean, join, nearest

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NUMBERS = ("id", "priority", "attempt")
_SORTABLE = (*_NUMBERS, "created_at", "started_at", "finished_at", "kind", "user")


@dataclass(frozen=True)
class Filter:
    """Which jobs to list; an empty field does not filter.

    `sort` is a column, or a metric or number of the result as `cvq.parse.field` reads it; with
    `-` before it, it descends.
    """

    ids: Sequence[int] = ()
    states: Sequence[str] = ()
    kinds: Sequence[str] = ()
    users: Sequence[str] = ()
    tags: Sequence[tuple[str, str | None]] = ()
    since: datetime | None = None
    until: datetime | None = None
    where: Sequence[Comparison] = ()
    sort: str | None = None
    limit: int | None = None


def find(connection: Connection, wanted: Filter) -> list[Job]:
    """Jobs, the newest first unless `sort` says otherwise."""
    query = select(t.jobs).where(*conditions(wanted)).order_by(*order(wanted))
    return [Job.from_row(row) for row in connection.execute(query.limit(wanted.limit)).all()]


def count(connection: Connection, wanted: Filter) -> int:
    """How many jobs a filter finds, whatever its limit."""
    query = select(func.count(t.jobs.c.id)).where(*conditions(wanted))
    return int(connection.scalar(query) or 0)


def conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    """What a filter asks of the table `jobs`."""
    jobs = t.jobs.c
    found: list[ColumnElement[bool]] = []
    for column, values in (
        (jobs.id, wanted.ids),
        (jobs.state, wanted.states),
        (jobs.kind, wanted.kinds),
        (jobs.user, wanted.users),
    ):
        if values:
            found.append(column.in_(values))
    found += [_tagged(key, value) for key, value in wanted.tags]
    if wanted.since:
        found.append(jobs.created_at >= wanted.since)
    if wanted.until:
        found.append(jobs.created_at < wanted.until)
    found += [_compared(*comparison) for comparison in wanted.where]
    return found


def order(wanted: Filter) -> list[ColumnElement[Any]]:
    """The order that a filter asks for: the newest first by default; no value comes last."""
    newest = t.jobs.c.id.desc()
    if not wanted.sort:
        return [newest]
    asked = field(wanted.sort.removeprefix("-"))
    if _is_column(asked, _SORTABLE):
        column: ColumnElement[Any] = t.jobs.c[asked.name]
    else:
        # The same where a metric and the result have it: any of them will do.
        s = t.summaries.c
        column = (
            select(func.max(s[asked.of]))
            .where(s.job_id == t.jobs.c.id, *_named(asked))
            .correlate(t.jobs)
            .scalar_subquery()
        )
    return [nulls_last(column.desc() if wanted.sort.startswith("-") else column.asc()), newest]


def _tagged(key: str, value: str | None) -> ColumnElement[bool]:
    found = t.readable(t.jobs.c.tags)[key].as_string()
    condition: ColumnElement[bool] = found.is_not(None) if value is None else found == value
    return condition


def _compared(name: str, sign: str, number: float) -> ColumnElement[bool]:
    asked = field(name)
    if _is_column(asked, _NUMBERS):
        condition: ColumnElement[bool] = _OPERATORS[sign](t.jobs.c[asked.name], number)
        return condition
    s = t.summaries.c
    if sign in ("=", "!=") and (slack := _slack(number)):
        compared = s[asked.of].between(number - slack, number + slack)
        compared = compared if sign == "=" else ~compared
    else:
        compared = _OPERATORS[sign](s[asked.of], number)
    return t.jobs.c.id.in_(select(s.job_id).where(*_named(asked), compared))


def _slack(number: float) -> float:
    """How far a figure may be from a number that it equals: both look alike where it is shown.

    Figures are shown with six digits, and most come from 32-bit floats, which are no decimals:
    0.4 is 0.4000000059. Whole numbers are compared exactly.
    """
    if not number or math.isinf(number):
        return 0.0
    return min(0.4, 0.5 * 10.0 ** (math.floor(math.log10(abs(number))) - 5))


def _named(asked: Field) -> list[ColumnElement[bool]]:
    s = t.summaries.c
    return [s.name == asked.name, *([s.source == asked.source] if asked.source else [])]


def _is_column(asked: Field, columns: Iterable[str]) -> bool:
    plain = asked.of == "value" and asked.source is None and not asked.quoted
    return plain and asked.name in columns


# ---------------------------------------------------------------------------- typing errors


def check(
    connection: Connection,
    wanted: Filter,
    *,
    kinds: Callable[[], Iterable[str]] = tuple,
    figures: Callable[[], Iterable[str]] = tuple,
) -> list[str]:
    """Refuse a name that no job of the history has, and say what no job has but may well be.

    Args:
        connection: of the database.
        wanted: the filter.
        kinds: the kinds that could be submitted, asked only where the history does not know one.
        figures: likewise, the metrics that these kinds record.

    Returns:
        remarks on users and tags that no job has: right, but a reason to find nothing.

    Raises:
        UsageError: a metric, column or kind is unknown, or a user or tag but for a letter or two;
            the message names the nearest.
    """
    if connection.scalar(select(t.jobs.c.id).limit(1)) is None:
        return []
    for comparison in wanted.where:
        _check_figure(connection, field(comparison.name), _NUMBERS, figures)
    if wanted.sort is not None:
        _check_figure(connection, field(wanted.sort.removeprefix("-")), _SORTABLE, figures)
    for kind in wanted.kinds:
        if not _exists(connection, t.jobs.c.kind == kind) and kind not in (known := set(kinds())):
            _refuse(f"no job of kind '{kind}'", kind, known | _all(connection, t.jobs.c.kind))
    remarks = []
    for user in wanted.users:
        if not _exists(connection, t.jobs.c.user == user):
            remarks.append(f"no job of user '{user}'")
            _refuse_near(remarks[-1], user, _all(connection, t.jobs.c.user))
    for key, value in wanted.tags:
        if not _exists(connection, _tagged(key, None)):
            remarks.append(f"no job with a tag '{key}'")
            _refuse_near(remarks[-1], key, _tag_keys(connection))
        elif value is not None and not _exists(connection, _tagged(key, value)):
            remarks.append(f"no job with the tag '{key}={value}'")
    return remarks


def _check_figure(
    connection: Connection,
    asked: Field,
    columns: Sequence[str],
    figures: Callable[[], Iterable[str]],
) -> None:
    if _is_column(asked, columns):
        return
    s = t.summaries.c
    if connection.scalar(select(s.job_id).where(*_named(asked)).limit(1)) is not None:
        return
    declared = set(figures()) if asked.source != "result" else set()
    if asked.name in declared:
        return
    source = [s.source == asked.source] if asked.source else []
    known = set(connection.scalars(select(s.name).where(*source).distinct()))
    what = {"metrics": "metric", "result": "number in its result"}.get(
        asked.source or "", "metric or result"
    )
    _refuse(f"no job has a {what} '{asked.name}'", asked.name, known | declared, columns)


def _exists(connection: Connection, condition: ColumnElement[bool]) -> bool:
    return connection.scalar(select(t.jobs.c.id).where(condition).limit(1)) is not None


def _all(connection: Connection, column: ColumnElement[Any]) -> set[str]:
    return set(connection.scalars(select(column).distinct()))


def _tag_keys(connection: Connection) -> set[str]:
    tags = connection.scalars(select(t.jobs.c.tags).distinct())
    return {key for tag in tags if isinstance(tag, dict) for key in tag}


def _nearest(name: str, known: Iterable[str]) -> str | None:
    spelt = {each.lower(): each for each in sorted(known)}
    near = nearest(name.lower(), spelt)
    return spelt[near] if near else None


def _refuse(what: str, name: str, known: set[str], columns: Sequence[str] = ()) -> None:
    near = _nearest(name, known | set(columns))
    if near:
        raise UsageError(f"{what}: {did_you_mean(near)}")
    raise UsageError(f"{what}: there {'are ' + join(sorted(known), 10) if known else 'is none'}")


def _refuse_near(what: str, name: str, known: set[str]) -> None:
    near = _nearest(name, known)
    if near:
        raise UsageError(f"{what}: {did_you_mean(near)}")
