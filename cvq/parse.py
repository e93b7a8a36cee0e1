"""The small languages of the command line: times, durations, comparisons, job references."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from .errors import UsageError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST_S = 100 * 366 * 86400
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_COMPARISON = re.compile(r"\s*([\w./-]+)\s*(<=|>=|!=|==|=|<|>)\s*(\S+)\s*")


class Comparison(NamedTuple):
    """A condition on a metric, such as val_accuracy > 0.9."""

    name: str
    sign: str
    value: float


class Reference(NamedTuple):
    """A job reference: ids from `first` to `last`, or the user's last job but `back`."""

    first: int
    last: int
    back: int | None = None


def duration(text: str) -> float:
    """Seconds of `90`, `90s`, `5m`, `1h30m` or `2d`.

    Raises:
        UsageError: the text is none of these, or longer than a century.
    """
    plain = re.fullmatch(r"\d+(\.\d+)?", text)
    if not plain and not re.fullmatch(rf"({_DURATION.pattern})+", text):
        raise UsageError(f"'{text}' is not a duration: write 90s, 5m, 1h30m or 2d")
    parts = [(text, "s")] if plain else _DURATION.findall(text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds > _LONGEST_S:
        raise UsageError(f"'{text}' is longer than a century")
    return seconds


def moment(text: str, *, ago: bool, now: datetime | None = None) -> datetime:
    """The time that `2d` (ago, or from now) or `2026-11-01[T12:00]` means, aware, in UTC.

    A date without a zone is in local time.

    Raises:
        UsageError: the text is neither, or lies outside the calendar.
    """
    now = now or datetime.now(UTC)
    try:
        if text[:1].isdigit() and "-" not in text and ":" not in text:
            distance = timedelta(seconds=duration(text))
            return now - distance if ago else now + distance
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError, UsageError):
        raise UsageError(
            f"'{text}' is not a time: write 5m, 2d, 2026-11-01 or 2026-11-01T12:00"
        ) from None


def comparison(text: str) -> Comparison:
    """Parse `val_accuracy>0.9`.

    Raises:
        UsageError: the text is not NAME, a sign and a number.
    """
    match = _COMPARISON.fullmatch(text)
    try:
        if match:
            name, sign, number = match.groups()
            value = float(number)
            if not math.isnan(value):  # nothing is equal to, above or below it
                return Comparison(name, "=" if sign == "==" else sign, value)
    except ValueError:
        pass
    raise UsageError(f"'{text}' is not a condition: write for example 'val_accuracy>0.9'")


def tag(text: str, *, value_needed: bool) -> tuple[str, str | None]:
    """Parse `key=value`, or `key` alone where no value is needed.

    Raises:
        UsageError: there is no key, or a value is needed and missing.
    """
    key, equals, value = text.partition("=")
    if not key or (value_needed and not equals):
        raise UsageError(f"'{text}' is not a tag: write key=value")
    return key, value if equals else None


def reference(text: str) -> Reference:
    """Parse `12`, `3-7`, `@` or `@~1`.

    Raises:
        UsageError: the text is none of these.
    """
    if match := re.fullmatch(r"@(?:~(\d{1,9}))?", text):
        return Reference(0, 0, int(match[1] or 0))
    if match := re.fullmatch(r"(\d{1,18})(?:-(\d{1,18}))?", text):
        first = int(match[1])
        last = int(match[2] or first)
        if first <= last:
            return Reference(first, last)
    raise UsageError(f"'{text}' is not a job: write an id, a range 3-7, @ (the last) or @~1")
