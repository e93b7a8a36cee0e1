"""Rows that hold what they cannot: a database keeps what somebody has written past cvq.

SQLite keeps any type in any column. One damaged row must not stop a statement that reads many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import Row

from .tables import UNREADABLE_TIME, Unreadable
from .text import one_line

_Word = TypeVar("_Word", bound=StrEnum)


def read_row(row: Row[Any], names: Iterable[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The values of a row, and which of them it cannot have."""
    values: dict[str, Any] = {}
    damage: dict[str, str] = {}
    mapping: Mapping[Any, Any] = row._mapping
    for name in names:
        value = mapping[name]
        if (value is None and name not in _NEVER_NULL) or (
            type(value) in _PLAIN and name not in _SHAPES
        ):
            values[name] = value  # as nearly all are: there are dozens of columns
            continue
        # SQLite gives bytes where a text was overwritten with what is none.
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        fits, instead = _SHAPES.get(name, (_is_readable, text))
        if (value is None and name in _NEVER_NULL) or (value is not None and not fits(value)):
            shown = "" if value == UNREADABLE_TIME else f": {one_line(repr(value), 60)}"
            damage[name] = f"its {name} cannot be read{shown}"
            value = instead
        values[name] = value
    return values, damage


def one_of(words: type[_Word], value: Any, instead: _Word) -> _Word:
    """A word of an enumeration, or another where it is none of them."""
    try:
        return words(value)
    except ValueError:
        return instead


def _is_readable(value: Any) -> bool:
    return value != UNREADABLE_TIME and not isinstance(value, bytes | Unreadable)


def _is_record(value: Any) -> bool:
    return isinstance(value, dict)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _is_progress(value: Any) -> bool:
    numbers = (value.get("done"), value.get("total")) if isinstance(value, dict) else ("",)
    return all(number is None or _is_number(number) for number in numbers) and "done" in value


def _are_metrics(value: Any) -> bool:
    return isinstance(value, dict) and all(v is None or _is_number(v) for v in value.values())


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _are_records(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _is_lines(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(line, str) for line in value)


# What a column has to hold where it is not NULL, and what is read instead.
_SHAPES: dict[str, tuple[Callable[[Any], bool], Any]] = {
    "tags": (_is_record, {}),
    "spec": (_is_record, {}),
    "metrics": (_are_metrics, {}),
    "progress": (_is_progress, None),
    "goals": (_is_record, None),
    "origin": (_is_record, None),
    "result": (lambda value: not isinstance(value, Unreadable), None),
    "time_limit": (_is_number, None),
    "soft_time_limit": (_is_number, None),
    "priority": (_is_number, 0),
    "attempt": (_is_number, 0),
    "max_attempts": (_is_number, 1),
    "versions": (_is_record, None),
    "last_lines": (_is_lines, None),
    "pid": (_is_number, None),
    "slots": (_is_number, 0),
    # Of batches and sweeps.
    "jobs": (_is_number, 0),
    "items": (_is_number, 0),
    "known": (_is_number, 0),
    "max_fails": (_is_number, None),
    "trials": (_is_number, 0),
    "parallel": (_is_number, None),
    "space": (_are_records, []),
    "options": (_is_record, {}),
    "lease": (_is_number, 0.0),
    "devices": (_is_list, []),
    "queues": (_is_list, []),
    "kinds": (_is_record, None),
    "peak_memory": (_is_number, None),
}
_PLAIN = frozenset((str, int, float, bool))
_NEVER_NULL = ("tags", "spec", "metrics", "devices", "queues")
