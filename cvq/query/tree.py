"""What a query says, as it was written: names and values are read, and mean nothing yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from .place import Place

Value: TypeAlias = str | float | int | datetime

NOWHERE = Place("", 0, 0)


@dataclass(frozen=True)
class Field:
    """What is asked of a job: `loss`, `params.lr`, `best(val_loss)`, `duration`.

    Attributes:
        name: of the column, metric, parameter, tag or value of the result; `a.b` is the value b
            of the record a.
        source: `metrics`, `params`, `tags` or `result`, where it was written; None of a bare name.
        of: which of a metric's figures: `last`, `min`, `max`, `best`, or `value`, the one that
            counts.
        quoted: whether the name stood in quotes, and so is no column's.
        place: where it stands.
    """

    name: str
    source: str | None = None
    of: str = "value"
    quoted: bool = False
    place: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True)
class Literal:
    """A value as it was written, without its quotes; `number` is None of what is none."""

    text: str
    number: float | None = None
    quoted: bool = False
    place: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True)
class Comparison:
    """`sign` is one of = != < <= > >=."""

    field: Field
    sign: str
    value: Literal


@dataclass(frozen=True)
class Among:
    """Whether a field has one of some values."""

    field: Field
    values: tuple[Literal, ...]


@dataclass(frozen=True)
class Like:
    """Whether a text is as a pattern: `%` stands for any characters, `_` for one."""

    field: Field
    pattern: Literal


@dataclass(frozen=True)
class Missing:
    """Whether a job has no value of a field."""

    field: Field


@dataclass(frozen=True)
class Not:
    """The opposite of a condition."""

    part: Condition


@dataclass(frozen=True)
class All:
    """All of several conditions."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Some:
    """At least one of several conditions."""

    parts: tuple[Condition, ...]


Leaf: TypeAlias = Comparison | Among | Like | Missing
Condition: TypeAlias = Leaf | Not | All | Some


def all_of(*conditions: Condition | None) -> Condition | None:
    """One condition that means all of these; None for none."""
    parts = tuple(each for each in conditions if each is not None)
    return All(parts) if len(parts) > 1 else parts[0] if parts else None
