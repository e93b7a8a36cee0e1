"""The small languages of the command line: times, durations, comparisons, job references."""

from __future__ import annotations

import math
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
# A name as it stands, or one with signs or brackets in it in quotes.
_QUOTED = r""""(?:[^"\\]|\\.)+"|'(?:[^'\\]|\\.)+'|`[^`]+`"""
_BARE = r"""[^\s<>=!"'`()](?:[^<>=!"'`()]*[^\s<>=!"'`()])?"""
_FIELD = rf"(?:(?:metrics|result)\.)?(?:{_QUOTED}|{_BARE})"
_FUNCTIONS = "value|last|min|max|best"
_ASKED = rf"(?:{_FUNCTIONS})\(\s*{_FIELD}\s*\)|{_FIELD}"
_COMPARISON = re.compile(rf"\s*({_ASKED})\s*(<=|>=|!=|==|=|<|>)\s*(\S+)\s*")


class Field(NamedTuple):
    """What can be asked of a job: a column, a metric, a number of its result.

    Attributes:
        name: of the column, metric or number; `a.b` is the number b of the record a.
        source: `metrics` or `result` where only one of them is meant.
        of: which of a metric's figures: `last`, `min`, `max`, `best`, or `value`, the one that
            counts.
        quoted: whether the name stood in quotes, and so is no column's.
    """

    name: str
    source: str | None = None
    of: str = "value"
    quoted: bool = False


class Comparison(NamedTuple):
    """A condition such as val_accuracy > 0.9; `name` as it was written (see `field`)."""

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

    A date without a zone is in local time. A number of eight digits is a date, 20261101.

    Raises:
        UsageError: the text is neither, lies outside the calendar or more than a century ahead,
            or is a time of day that a change of the clocks leaves out or gives twice.
    """
    now = now or datetime.now(UTC)
    try:
        if text.isascii() and re.fullmatch(r"\d{1,7}|[\d.]+[smhdw][\d.smhdw]*", text):
            distance = timedelta(seconds=duration(text))
            return now - distance if ago else now + distance
        written = datetime.fromisoformat(text)
        # Before the zone is looked up: Python 3.12 and later find none at the calendar's end.
        too_far = written.year > now.year + 101
        time = now if too_far else _in_utc(written, text)
    except (ValueError, OverflowError):
        raise UsageError(
            f"'{text}' is not a time: write 5m, 2d, 2026-11-01 or 2026-11-01T12:00[+01:00]"
        ) from None
    if too_far or time > now + timedelta(seconds=_LONGEST_S):
        raise UsageError(f"'{text}' is more than a century ahead")
    return time


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


def field(text: str) -> Field:
    """Parse `loss`, `result.test_accuracy`, `best(val_loss)` or `"a name with > in it"`.

    What is nothing of these is a name as it stands.
    """
    text = text.strip()
    of, source = "value", None
    if match := re.fullmatch(rf"({_FUNCTIONS})\(\s*({_FIELD})\s*\)", text):
        of, text = match.groups()
    if match := re.fullmatch(rf"(metrics|result)\.({_QUOTED}|{_BARE})", text):
        source, text = match.groups()
    if re.fullmatch(_QUOTED, text):
        inner = text[1:-1] if text[0] == "`" else re.sub(r"\\(.)", r"\1", text[1:-1])
        return Field(inner, source, of, quoted=True)
    return Field(text, source, of)


def comparison(text: str) -> Comparison:
    """Parse `val_accuracy>0.9`, `best(val_loss) < 0.2` or `"mAP > 0.5" >= 0.7`.

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
    raise UsageError(
        f"'{text}' is not a condition: write for example 'val_accuracy>0.9'; "
        "quote a name that contains signs or brackets"
    )


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
