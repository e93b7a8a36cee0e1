"""Which jobs of the history are meant: conditions and their order."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, nulls_last, select

from .. import parse
from .. import tables as t
from ..errors import UsageError
from ..given import among
from ..parse import Comparison, Field, field
from ..records import Job
from ..states import State

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
NUMBERS = ("id", "priority", "attempt")
SORTABLE = (*NUMBERS, "created_at", "started_at", "finished_at", "kind", "user")


@dataclass(frozen=True)
class Filter:
    """Which jobs to list; an empty field does not filter.

    `alone` leaves out the jobs of batches. `sort` is a column, or a metric or number of the result
    as `cvq.parse.field` reads it; with `-` before it, it descends.
    """

    ids: Sequence[int] = ()
    states: Sequence[str] = ()
    kinds: Sequence[str] = ()
    users: Sequence[str] = ()
    batches: Sequence[int] = ()
    alone: bool = False
    tags: Sequence[tuple[str, str | None]] = ()
    since: datetime | None = None
    until: datetime | None = None
    where: Sequence[Comparison] = ()
    sort: str | None = None
    limit: int | None = None


def asked(
    *,
    kind: str | Sequence[str] = (),
    state: str | Sequence[str] = (),
    user: str | Sequence[str] = (),
    batch: int | Sequence[int] = (),
    tag: str | Sequence[str] | Mapping[str, str] = (),
    where: str | Sequence[str] = (),
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    sort: str | None = None,
    limit: int | None = None,
) -> Filter:
    """The filter that a program's words mean: see `Client.jobs`.

    Raises:
        UsageError: a condition cannot be read.
    """
    return Filter(
        kinds=_several(kind),
        states=[_state(each) for each in _several(state)],
        users=_several(user),
        batches=[batch] if isinstance(batch, int) else batch,
        tags=_tags(tag),
        where=[parse.comparison(text) for text in _several(where)],
        since=_moment(since),
        until=_moment(until),
        sort=sort,
        limit=limit,
    )


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
    ids = ((jobs.id, wanted.ids), (jobs.batch, wanted.batches))
    found: list[ColumnElement[bool]] = [among(column, some) for column, some in ids if some]
    for column, values in (
        (jobs.state, wanted.states),
        (jobs.kind, wanted.kinds),
        (jobs.user, wanted.users),
    ):
        if values:
            found.append(column.in_(values))
    if wanted.alone:
        found.append(jobs.batch.is_(None))
    found += [tagged(key, value) for key, value in wanted.tags]
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
        # The same where all are of none: so Postgres sees that `ix_jobs_alone` has this order.
        return [t.jobs.c.batch.desc(), newest] if wanted.alone else [newest]
    asked = field(wanted.sort.removeprefix("-"))
    if is_column(asked, SORTABLE):
        column: ColumnElement[Any] = t.jobs.c[asked.name]
    else:
        # The same where a metric and the result have it: any of them will do.
        s = t.summaries.c
        column = (
            select(func.max(s[asked.of]))
            .where(s.job_id == t.jobs.c.id, *named(asked))
            .correlate(t.jobs)
            .scalar_subquery()
        )
    return [nulls_last(column.desc() if wanted.sort.startswith("-") else column.asc()), newest]


def tagged(key: str, value: str | None) -> ColumnElement[bool]:
    """Jobs that have a tag, with this value or, for None, with any."""
    found = t.readable(t.jobs.c.tags)[key].as_string()
    condition: ColumnElement[bool] = found.is_not(None) if value is None else found == value
    return condition


def _compared(name: str, sign: str, number: float) -> ColumnElement[bool]:
    asked = field(name)
    if is_column(asked, NUMBERS):
        condition: ColumnElement[bool] = _OPERATORS[sign](t.jobs.c[asked.name], number)
        return condition
    s = t.summaries.c
    if sign in ("=", "!=") and (slack := _slack(number)):
        compared = s[asked.of].between(number - slack, number + slack)
        compared = compared if sign == "=" else ~compared
    else:
        compared = _OPERATORS[sign](s[asked.of], number)
    return t.jobs.c.id.in_(select(s.job_id).where(*named(asked), compared))


def _slack(number: float) -> float:
    """How far a figure may be from a number that it equals: both look alike where it is shown.

    Figures are shown with six digits, and most come from 32-bit floats, which are no decimals:
    0.4 is 0.4000000059. Whole numbers are compared exactly.
    """
    if not number or math.isinf(number):
        return 0.0
    return min(0.4, 0.5 * 10.0 ** (math.floor(math.log10(abs(number))) - 5))


def named(asked: Field) -> list[ColumnElement[bool]]:
    """Summaries of a figure."""
    s = t.summaries.c
    return [s.name == asked.name, *([s.source == asked.source] if asked.source else [])]


def is_column(asked: Field, columns: Iterable[str]) -> bool:
    """Whether a figure that is asked for is a column of the table `jobs`."""
    plain = asked.of == "value" and asked.source is None and not asked.quoted
    return plain and asked.name in columns


def _several(value: str | Sequence[str]) -> Sequence[str]:
    """One word as a list of one."""
    return [value] if isinstance(value, str) else value


def _state(given: str) -> str:
    if given not in list(State):
        raise UsageError(f"state '{given}': give {', '.join(State)}")
    return given


def _tags(given: str | Sequence[str] | Mapping[str, str]) -> list[tuple[str, str | None]]:
    if isinstance(given, Mapping):
        return [(str(key), str(value)) for key, value in given.items()]
    return [parse.tag(text, value_needed=False) for text in _several(given)]


def _moment(given: datetime | str | None) -> datetime | None:
    return parse.moment(given, ago=True) if isinstance(given, str) else given
