"""What a test asks of one value, as ranges of an index."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Float, Text, and_, literal, or_

from ..column_types import UtcDateTime
from .meaning import Column, Subject, Test
from .patterns import Pattern, after
from .tree import Value


class Range(NamedTuple):
    """Values from `low` to `high`, with each where it is said so; None is no bound."""

    low: Value | None = None
    high: Value | None = None
    with_low: bool = True
    with_high: bool = True


WHOLE = Range()


def ranges_of(test: Test) -> list[Range]:
    """The ranges in which the values lie that a test means: with others, where it is of texts."""
    values: list[Any] = list(test.values)
    if test.op in ("present", "not like"):
        return [WHOLE]
    if test.op == "like":
        return [_beginning(values[0])]
    if test.op == "not in" and isinstance(values[0], str):
        return [WHOLE]  # these are sent as they are
    equal = sorted(
        (_equal(test.subject, value) for value in values), key=lambda each: (each.low, each.high)
    )
    if test.op in ("=", "in"):
        return equal
    if test.op in ("!=", "not in"):
        return _between(equal)
    value = values[0]
    if test.op in ("<", "<="):
        return [Range(high=value, with_high=test.op == "<=")]
    return [Range(low=value, with_low=test.op == ">=")]


def _beginning(pattern: Pattern) -> Range:
    if pattern.is_plain:
        return Range(pattern.start, pattern.start)
    if not pattern.start:
        return WHOLE
    return Range(pattern.start, after(pattern.start), with_high=False)


def _between(taken: list[Range]) -> list[Range]:
    """What lies between some ranges, in order, and before and after them all."""
    free: list[Range] = []
    low: Any = None
    for each in taken:
        high: Any = each.high
        if low is None or each.low > low:
            free.append(Range(low, each.low, with_low=False, with_high=False))
        low = high if low is None else max(low, high)
    return [*free, Range(low=low, with_low=False)]


def _equal(subject: Subject, value: Any) -> Range:
    exact = isinstance(subject, Column) and subject.name not in ("duration", "wait")
    if exact or not isinstance(value, int | float):
        return Range(value, value)
    slack = _slack(value)
    return Range(value - slack, value + slack)


def _slack(number: float) -> float:
    """How far a figure may be from a number that it equals: both look alike where it is shown.

    Figures are shown with six digits, and most come from 32-bit floats, which are no decimals:
    0.4 is 0.4000000059. Whole numbers are compared exactly.
    """
    if not number or math.isinf(number):
        return 0.0
    return min(0.4, 0.5 * 10.0 ** (math.floor(math.log10(abs(number))) - 5))


_TYPES: tuple[tuple[type, Any], ...] = (
    (str, Text), (int, BigInteger), (float, Float), (datetime, UtcDateTime),
)  # fmt: skip


def bound(value: Value) -> ColumnElement[Any]:
    """A value to be sent: as what it is, whatever the column may be that it is compared with."""
    return literal(value, next(of for kind, of in _TYPES if isinstance(value, kind)))


def within(column: ColumnElement[Any], each: Range) -> ColumnElement[bool]:
    """Whether a column has a value, and it lies in a range."""
    if each.low is not None and each.low == each.high:
        return column == bound(each.low)
    sides: list[ColumnElement[bool]] = []
    if each.low is not None:
        sides.append(column >= bound(each.low) if each.with_low else column > bound(each.low))
    if each.high is not None:
        sides.append(column <= bound(each.high) if each.with_high else column < bound(each.high))
    return and_(*sides) if sides else column.is_not(None)


def within_any(column: ColumnElement[Any], several: list[Range]) -> ColumnElement[bool]:
    """Whether it lies in one of some ranges."""
    points = [each.low for each in several if each.low is not None and each.low == each.high]
    if len(points) == len(several) > 1:
        return column.in_(list(map(bound, points)))
    return or_(*(within(column, each) for each in several))
