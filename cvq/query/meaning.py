"""What a query means in this history: of which table each name is, and no more `not`.

A comparison with what a job does not have is neither true nor false, as in SQL; nor is its
opposite. So `not` is taken into the comparisons, each of which has its own opposite.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from ..text import join
from .columns import column_of, read
from .patterns import Pattern, of_sql
from .place import Place, QueryError
from .tree import (
    All,
    Among,
    Comparison,
    Condition,
    Field,
    Leaf,
    Like,
    Literal,
    Missing,
    Not,
    Some,
    Value,
)

Lookup: TypeAlias = Callable[[str], Collection[str]]
"""Which of `metrics`, `params`, `tags` and `result` have a name in this history."""


@dataclass(frozen=True)
class Column:
    """What every job has, as `columns.COLUMNS` names it."""

    name: str


@dataclass(frozen=True)
class Figure:
    """A metric, or a number of the result; of either where `source` is None."""

    name: str
    source: str | None = None
    of: str = "value"


@dataclass(frozen=True)
class Attribute:
    """A parameter, a tag or a word of the result.

    `as_` is `value` where it is taken as a number, `text` where as a text, None where either does.
    """

    name: str
    source: str
    as_: str | None = None


Subject: TypeAlias = Column | Figure | Attribute


@dataclass(frozen=True)
class Test:
    """What is asked of a subject.

    `op` is one of = != < <= > >=, `in`, `not in`, `like`, `not like`, `missing` and `present`;
    all but `missing` ask that there be a value.
    """

    subject: Subject
    op: str
    values: tuple[Value | Pattern | None, ...] = ()


@dataclass(frozen=True)
class Every:
    """All of several terms."""

    parts: tuple[Term, ...]


@dataclass(frozen=True)
class Either:
    """At least one of several terms."""

    parts: tuple[Term, ...]


Term: TypeAlias = Test | Every | Either

_OPPOSITES = {
    "=": "!=", "<": ">=", ">": "<=", "in": "not in", "like": "not like", "missing": "present",
}  # fmt: skip
_OPPOSITES |= {other: one for one, other in _OPPOSITES.items()}
_TRUTHS = {"true": 1.0, "false": 0.0}


def fields_of(condition: Condition | None) -> Iterator[Field]:
    """All fields that a condition names, in order."""
    if isinstance(condition, All | Some):
        for part in condition.parts:
            yield from fields_of(part)
    elif isinstance(condition, Not):
        yield from fields_of(condition.part)
    elif condition is not None:
        yield condition.field


def words_of(condition: Condition | None) -> Iterator[tuple[str, Literal]]:
    """The words that columns are compared with, each with the column's name, in order."""
    if isinstance(condition, All | Some):
        for part in condition.parts:
            yield from words_of(part)
    elif isinstance(condition, Not):
        yield from words_of(condition.part)
    elif isinstance(condition, Comparison | Among) and (column := as_column(condition.field)):
        several = condition.values if isinstance(condition, Among) else (condition.value,)
        if isinstance(condition, Among) or condition.sign in ("=", "!="):
            yield from ((column, literal) for literal in several)


def meaning(condition: Condition, lookup: Lookup, *, turned: bool = False) -> Term:
    """The term that a condition means, or its opposite.

    Raises:
        QueryError: a name may mean several things, or a value is none that it can have.
    """
    if isinstance(condition, Not):
        return meaning(condition.part, lookup, turned=not turned)
    if isinstance(condition, All | Some):
        parts = tuple(meaning(part, lookup, turned=turned) for part in condition.parts)
        return Every(parts) if isinstance(condition, All) is not turned else Either(parts)
    return _leaf(condition, lookup, turned)


def _leaf(leaf: Leaf, lookup: Lookup, turned: bool) -> Term:
    if isinstance(leaf, Missing):
        op, how = ("present", Either) if turned else ("missing", Every)
        return _joined([Test(each, op) for each in subjects_of(leaf.field, lookup)], how)
    if isinstance(leaf, Like):
        pattern = of_sql(leaf.pattern.text)
        test = Test(_word(leaf.field, lookup, leaf.pattern.place), "like", (pattern,))
        return _opposite(test) if turned else test
    literals, op = (leaf.values, "in") if isinstance(leaf, Among) else ((leaf.value,), leaf.sign)
    by_subject: dict[Subject, list[Value]] = {}
    for literal in literals:
        for subject, value in _read(leaf.field, literal, lookup):
            by_subject.setdefault(subject, []).append(value)
    tests = [Test(subject, op, tuple(values)) for subject, values in by_subject.items()]
    return _joined([_opposite(each) if turned else each for each in tests], Either)


def _joined(tests: list[Test], how: type[Every] | type[Either]) -> Term:
    return tests[0] if len(tests) == 1 else how(tuple(tests))


def _opposite(test: Test) -> Test:
    return Test(test.subject, _OPPOSITES[test.op], test.values)


def _read(field: Field, literal: Literal, lookup: Lookup) -> list[tuple[Subject, Value]]:
    """What a value is compared with, and the value as that has it."""
    if column := as_column(field):
        return [(Column(column), read(column, literal))]
    source = source_of(field, lookup)
    if source in ("params", "tags"):
        return list(_of_attribute(field.name, source, literal))
    number = _TRUTHS.get(literal.text.lower(), literal.number)
    if number is not None and not literal.quoted:
        return [(Figure(field.name, source, field.of), number)]
    return [(_word(field, lookup, literal.place), literal.text)]


def _of_attribute(name: str, source: str, literal: Literal) -> Iterator[tuple[Subject, Value]]:
    """A number in quotes is a text; of a parameter it may be either."""
    if literal.number is not None and (source == "params" or not literal.quoted):
        yield Attribute(name, source, "value"), literal.number
    if literal.quoted or literal.number is None:
        yield Attribute(name, source, "text"), literal.text


def _word(field: Field, lookup: Lookup, place: Place) -> Subject:
    """What a text is compared with."""
    if column := as_column(field):
        return Column(column)
    source = source_of(field, lookup)
    if source == "metrics" or field.of != "value":
        raise QueryError(f"{field.name} is a number: write it without quotes", place)
    return Attribute(field.name, source or "result", "text")


def as_column(field: Field) -> str | None:
    """The column that a field means; None where it means none."""
    plain = field.source is None and not field.quoted and field.of == "value"
    return column_of(field.name) if plain else None


def subjects_of(field: Field, lookup: Lookup) -> list[Subject]:
    """Where a job may have what a field means: numbers first."""
    if column := as_column(field):
        return [Column(column)]
    source = source_of(field, lookup)
    if source in ("params", "tags"):
        return [Attribute(field.name, source)]
    figure = Figure(field.name, source, field.of)
    if source == "metrics" or field.of != "value":
        return [figure]
    if source is None and "result" not in lookup(field.name):
        return [figure]  # no result has it as a word
    return [figure, Attribute(field.name, "result")]


def source_of(field: Field, lookup: Lookup) -> str | None:
    """The source of what is no column; None of what is a metric or of the result.

    Raises:
        QueryError: it may be several things.
    """
    if field.source is not None or field.of != "value":
        return field.source
    found = set(lookup(field.name))
    if found & {"metrics", "result"} or not found:
        return None
    if len(found) > 1:
        words = join([f"{source}.{field.name}" for source in sorted(found)], last="or")
        raise QueryError(f"'{field.name}' may be a parameter or a tag: write {words}", field.place)
    return found.pop()
