"""Names in a filter that nothing in the history has, and the nearest that something has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from .. import tables as t
from ..errors import UsageError
from ..parse import Field, field
from ..text import did_you_mean, join, nearest
from .filters import NUMBERS, SORTABLE, Filter, is_column, named, tagged


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
        _check_figure(connection, field(comparison.name), NUMBERS, figures)
    if wanted.sort is not None:
        _check_figure(connection, field(wanted.sort.removeprefix("-")), SORTABLE, figures)
    for kind in wanted.kinds:
        if not _exists(connection, t.jobs.c.kind == kind) and kind not in (known := set(kinds())):
            _refuse(f"no job of kind '{kind}'", kind, known | _all(connection, t.jobs.c.kind))
    remarks = []
    for user in wanted.users:
        if not _exists(connection, t.jobs.c.user == user):
            remarks.append(f"no job of user '{user}'")
            _refuse_near(remarks[-1], user, _all(connection, t.jobs.c.user))
    for key, value in wanted.tags:
        if not _exists(connection, tagged(key, None)):
            remarks.append(f"no job with a tag '{key}'")
            _refuse_near(remarks[-1], key, _tag_keys(connection))
        elif value is not None and not _exists(connection, tagged(key, value)):
            remarks.append(f"no job with the tag '{key}={value}'")
    return remarks


def _check_figure(
    connection: Connection,
    asked: Field,
    columns: Sequence[str],
    figures: Callable[[], Iterable[str]],
) -> None:
    if is_column(asked, columns):
        return
    s = t.summaries.c
    if connection.scalar(select(s.job_id).where(*named(asked)).limit(1)) is not None:
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
