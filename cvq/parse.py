"""The small languages of the command line: times, durations, tags, job references."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from .errors import UsageError


class TwiceError(ValueError):
    """A name stands twice in one table: whoever reads it would keep one of the values."""

    def __init__(self, name: object) -> None:
        super().__init__(f"'{name}' stands twice in it")


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST_S = 100 * 366 * 86400
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


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

    `today` and `yesterday` are when these days began. A date without a zone is in local time. A
    number of eight digits is a date, 20261101.

    Raises:
        UsageError: the text is neither, lies outside the calendar or more than a century ahead,
            or is a time of day that a change of the clocks leaves out or gives twice.
    """
    now = now or datetime.now(UTC)
    try:
        if text.isascii() and re.fullmatch(r"\d{1,7}|[\d.]+[smhdw][\d.smhdw]*", text):
            distance = timedelta(seconds=duration(text))
            return now - distance if ago else now + distance
        written = _day(text, now) or datetime.fromisoformat(text)
        # Before the zone is looked up: Python 3.12 and later find none at the calendar's end.
        too_far = written.year > now.year + 101
        time = now if too_far else _in_utc(written, text)
    except (ValueError, OverflowError):
        raise UsageError(
            f"'{text}' is not a time: write 5m, 2d, today, 2026-11-01 or 2026-11-01T12:00[+01:00]"
        ) from None
    if too_far or time > now + timedelta(seconds=_LONGEST_S):
        raise UsageError(f"'{text}' is more than a century ahead")
    return time


def _day(word: str, now: datetime) -> datetime | None:
    """When a day began that is called by a word, in local time."""
    if (back := {"today": 0, "yesterday": 1}.get(word.lower())) is None:
        return None
    day = now.astimezone().date() - timedelta(days=back)
    return datetime.combine(day, datetime.min.time())


def _in_utc(time: datetime, text: str) -> datetime:
    """The moment of a time as it was written, which without a zone is in local time.

    Raises:
        UsageError: there is no such moment, or two of them.
    """
    first = time.astimezone(UTC)
    if (
        time.tzinfo is not None or time.time() == datetime.min.time()
    ):  # a day begins when it begins
        return first
    second = time.replace(fold=1).astimezone(UTC)
    if first == second:
        return first
    if first.astimezone().replace(tzinfo=None) != time:
        raise UsageError(f"'{text}': the clocks skip this time; choose another")
    early, late = (text + moment.astimezone().isoformat()[-6:] for moment in (first, second))
    raise UsageError(f"'{text}' occurs twice, as the clocks go back: write {early} or {late}")


def tag(text: str, *, value_needed: bool) -> tuple[str, str | None]:
    """Parse `key=value`, or `key` alone where no value is needed.

    Raises:
        UsageError: there is no key, or a value is needed and missing.
    """
    key, equals, value = text.partition("=")
    if not key or (value_needed and not equals):
        raise UsageError(f"'{text}' is not a tag: write key=value")
    return key, value if equals else None


def reference(text: str, what: str = "job") -> Reference:
    """Parse `12`, `3-7`, `@` or `@~1`.

    Args:
        text: what was typed.
        what: what it means one of: a job or a batch.

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
    raise UsageError(f"'{text}' is not a {what}: write an id, a range 3-7, @ (the last) or @~1")


def once(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """A table of names and values, for `json.loads(…, object_pairs_hook=once)`.

    Raises:
        TwiceError: a name stands twice.
    """
    table: dict[Any, Any] = {}
    for name, value in pairs:
        if name in table:
            raise TwiceError(name)
        table[name] = value
    return table
