"""What every job has, under which names it can be asked for, and how its values are written."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum

from .. import parse
from ..errors import UsageError
from ..states import State
from ..text import nearest
from .place import QueryError
from .tree import Literal, Value

FUNCTIONS = ("value", "last", "min", "max", "best")
SOURCES = ("metrics", "params", "tags", "result")


class Type(Enum):
    """What the values of a field are."""

    WHOLE = "a whole number"
    SECONDS = "a duration"
    TIME = "a time"
    TEXT = "a text"


COLUMNS: dict[str, Type] = {
    "id": Type.WHOLE,
    "kind": Type.TEXT,
    "state": Type.TEXT,
    "reason": Type.TEXT,
    "user": Type.TEXT,
    "name": Type.TEXT,
    "queue": Type.TEXT,
    "priority": Type.WHOLE,
    "attempts": Type.WHOLE,
    "batch": Type.WHOLE,
    "sweep": Type.WHOLE,
    "twin_of": Type.WHOLE,
    "made_from": Type.WHOLE,
    "worker": Type.TEXT,
    "device": Type.TEXT,
    "note": Type.TEXT,
    "created": Type.TIME,
    "started": Type.TIME,
    "finished": Type.TIME,
    "trashed": Type.TIME,
    "duration": Type.SECONDS,
    "wait": Type.SECONDS,
}
# As they are called in JSON and in the database.
_ALSO = {
    "attempt": "attempts",
    "created_at": "created",
    "started_at": "started",
    "finished_at": "finished",
    "trashed_at": "trashed",
    "status": "state",
}
WORDS = (*COLUMNS, *_ALSO)
_MOST_WHOLE = 2**63 - 1


def column_of(name: str) -> str | None:
    """The column that a bare name means; None where it means none."""
    name = _ALSO.get(name, name)
    return name if name in COLUMNS else None


def read(column: str, literal: Literal) -> Value:
    """A value as this column has it.

    Raises:
        QueryError: it is none that the column can have.
    """
    try:
        value = _READERS[COLUMNS[column]](literal)
    except UsageError as error:
        raise QueryError(str(error), literal.place) from None
    if value is None:
        kind = COLUMNS[column]
        raise QueryError(
            f"{column} is {kind.value}: {_EXAMPLES[kind]}, not '{literal.text}'", literal.place
        )
    if column == "state" and literal.text not in list(State):
        near = nearest(literal.text.lower(), list(State))
        raise QueryError(f"no state is called '{literal.text}'", literal.place, near)
    return value


def _whole(literal: Literal) -> int | float | None:
    number = literal.number
    if number is None or literal.quoted:
        return None
    if math.isinf(number) or number != int(number):
        return number
    return max(-_MOST_WHOLE, min(int(number), _MOST_WHOLE))


def _seconds(literal: Literal) -> float | None:
    if literal.number is not None:
        return literal.number
    return parse.duration(literal.text)


def _time(literal: Literal) -> Value:
    return parse.moment(literal.text, ago=True)


def _text(literal: Literal) -> str:
    return literal.text


_READERS: dict[Type, Callable[[Literal], Value | None]] = {
    Type.WHOLE: _whole,
    Type.SECONDS: _seconds,
    Type.TIME: _time,
    Type.TEXT: _text,
}
_EXAMPLES = {
    Type.WHOLE: "write 3",
    Type.SECONDS: "write 90s or 2h",
    Type.TIME: "write 2d, today or 2026-11-01",
    Type.TEXT: "write a word",
}
