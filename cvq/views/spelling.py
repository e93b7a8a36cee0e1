"""Names in a filter that nothing in the history has, and the nearest that something has."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from .. import tables as t
from ..errors import UsageError
from ..query.columns import COLUMNS
from ..query.distinct import distinct, names
from ..query.meaning import as_column, fields_of, words_of
from ..query.names import sources_of
from ..query.parser import parse_field
from ..query.place import Place, QueryError
from ..query.tree import Field
from ..text import did_you_mean, join, nearest
from .filters import Filter

_WHAT = {
    "metrics": "metric", "params": "parameter", "tags": "tag", "result": "value in its result",
}  # fmt: skip
_OF_COLUMN = {"kind": "no job of kind", "user": "no job of user", "queue": "no job on queue"}
_PREFIXES = ("params.", "tags.")
_ANY = "metric, parameter, tag or result"


def check(
    connection: Connection,
    wanted: Filter,
    *,
    fields: Sequence[str] = (),
    kinds: Callable[[], Iterable[str]] = tuple,
    figures: Callable[[], Iterable[str]] = tuple,
) -> list[str]:
    """Refuse a name that no job of the history has, and say what no job has but may well be.

    Args:
        connection: of the database.
        wanted: the filter.
        fields: what else is to be told of the jobs, as a query names it.
        kinds: the kinds that could be submitted, asked only where the history does not know one.
        figures: likewise, the metrics that these kinds record.

    Returns:
        remarks: users, queues and tags that no job has (right, but a reason to find nothing); and
        which of several things a bare name means.

    Raises:
        UsageError: a metric, column or kind is unknown, or a user or tag but for a letter or two;
            the message names the nearest, and points at it in a condition.
    """
    asked = [*fields_of(wanted.where), *(key.field for key in wanted.keys)]
    asked += map(parse_field, fields)
    if connection.scalar(select(t.jobs.c.id).limit(1)) is None:
        return []
    remarks = _check_fields(connection, asked, figures)
    remarks += _check_words(connection, wanted, kinds)
    remarks += _check_tags(connection, wanted)
    return list(dict.fromkeys(remarks))


def _check_fields(
    connection: Connection, fields: Iterable[Field], figures: Callable[[], Iterable[str]]
) -> list[str]:
    asked = list(dict.fromkeys(fields))
    sources = sources_of(connection, [field.name for field in asked])
    remarks: list[str] = []
    for field in asked:
        has = sources[field.name]
        if column := as_column(field):
            remarks += _told_apart(field, f"the column {column}", [*has])
        elif not _is_known(connection, field, has):
            _refuse_field(connection, field, figures)
        elif field.source is None and field.of == "value":
            of_figure = {"metrics", "result"}.intersection(has)
            others = [each for each in has if each not in of_figure] if of_figure else []
            remarks += _told_apart(field, "the metric or result", others)
    return remarks


def _told_apart(field: Field, meant: str, others: Collection[str]) -> Iterator[str]:
    """What else has the name of what is meant."""
    if others:
        words = join([f"{source}.{field.name}" for source in others])
        verb = "is" if len(others) == 1 else "are"
        yield f"'{field.name}' is {meant} here: {words} {verb} something else"


def _is_known(connection: Connection, field: Field, has: Collection[str]) -> bool:
    if field.source is None and field.of == "value":
        return bool(has)
    if field.source in ("params", "tags") or (field.source == "result" and "result" in has):
        return field.source in has
    s = t.summaries.c
    mine = [s.name == field.name, *([s.source == field.source] if field.source else [])]
    return connection.scalar(select(s.job_id).where(*mine).limit(1)) is not None


def _refuse_field(
    connection: Connection, field: Field, figures: Callable[[], Iterable[str]]
) -> None:
    declared = set(figures()) if field.source in (None, "metrics") else set()
    if field.name in declared:
        return
    known = _known_names(connection, field, declared)
    what = _WHAT.get(field.source or "", "metric or result" if field.of != "value" else _ANY)
    said = f"no job has a {what} '{field.name}'"
    near = _nearest(field.name, [*known, *(COLUMNS if field.source is None else ())])
    if near:
        raise QueryError(said, field.place, known.get(near, near))
    figures_first = sorted(known.values(), key=lambda word: (word.startswith(_PREFIXES), word))
    are = "is" if len(known) == 1 else "are"
    there = f"there {are} {join(figures_first, 10)}" if known else "there is none"
    raise QueryError(f"{said}: {there}", field.place)


def _known_names(
    connection: Connection, field: Field, declared: Collection[str]
) -> Mapping[str, str]:
    """The names that might have been meant, and each as it is to be written here."""
    if field.source in ("params", "tags"):
        return {name: name for name in names(connection, field.source)}
    s, found = t.summaries.c, dict.fromkeys(declared, "")
    if field.source is None:
        for source in ("tags", "params") if field.of == "value" else ():
            found |= dict.fromkeys(names(connection, source), f"{source}.")
        found |= dict.fromkeys(names(connection, "metrics"), "")
    else:
        mine = select(s.job_id).where(s.source == field.source)
        found |= {
            name: ""
            for name in names(connection, "metrics")
            if connection.scalar(mine.where(s.name == name).limit(1)) is not None
        }
    if field.source == "result" or (field.source is None and field.of == "value"):
        found |= dict.fromkeys(names(connection, "result"), "")
    return {name: f"{prefix}{name}" for name, prefix in found.items()}


def _check_words(
    connection: Connection, wanted: Filter, kinds: Callable[[], Iterable[str]]
) -> Iterator[str]:
    """Kinds, users and queues, wherever they are asked for."""
    asked = {("kind", kind): None for kind in wanted.kinds}
    asked |= {("user", user): None for user in wanted.users}
    asked |= {("queue", queue): None for queue in wanted.queues}
    places: dict[tuple[str, str], Place | None] = {
        (column, literal.text): literal.place
        for column, literal in words_of(wanted.where)
        if column in _OF_COLUMN
    }
    for (column, word), place in (places | asked).items():
        if _exists(connection, t.jobs.c[column] == word):
            continue
        said = f"{_OF_COLUMN[column]} '{word}'"
        if column == "kind":
            if word not in (known := set(kinds())):
                _refuse(said, word, known | _all(connection, t.jobs.c.kind), place)
            continue
        known = _all(connection, t.jobs.c[column])
        if column == "user":
            _refuse_near(said, word, known, place)
        near = _nearest(word, known)
        yield f"{said}: {did_you_mean(near)}" if near else said


def _check_tags(connection: Connection, wanted: Filter) -> Iterator[str]:
    a = t.attributes.c
    for key, value in wanted.tags:
        mine = select(a.job_id).where(a.source == "tags", a.name == key, a.text.is_not(None))
        if connection.scalar(mine.limit(1)) is None:
            yield f"no job with a tag '{key}'"
            _refuse_near(f"no job with a tag '{key}'", key, names(connection, "tags"))
        elif value is not None and connection.scalar(mine.where(a.text == value).limit(1)) is None:
            yield f"no job with the tag '{key}={value}'"


def _exists(connection: Connection, condition: ColumnElement[bool]) -> bool:
    return connection.scalar(select(t.jobs.c.id).where(condition).limit(1)) is not None


def _all(connection: Connection, column: ColumnElement[Any]) -> set[str]:
    return set(distinct(connection, column))


def _nearest(name: str, known: Iterable[str]) -> str | None:
    spelt = {each.lower(): each for each in sorted(known)}
    near = nearest(name.lower(), spelt)
    return spelt[near] if near else None


def _refuse(what: str, name: str, known: set[str], place: Place | None) -> None:
    _refuse_near(what, name, known, place)
    said = f"{what}: there {'are ' + join(sorted(known), 10) if known else 'is none'}"
    raise QueryError(said, place) if place else UsageError(said)


def _refuse_near(what: str, name: str, known: set[str], place: Place | None = None) -> None:
    if (near := _nearest(name, known)) is None:
        return
    if place is not None:
        raise QueryError(what, place, near)
    raise UsageError(f"{what}: {did_you_mean(near)}")
