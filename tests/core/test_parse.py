"""The small languages of the command line: what goes in comes out, and nothing else goes in."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cvq.errors import UsageError
from cvq.parse import Reference, duration, moment, reference, tag

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
anything = st.one_of(st.text(), st.text("0123456789.smhdw@~-<>=!+:T eE_", max_size=12))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("2d", 172800), ("0.5h", 1800)],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@given(
    st.lists(st.tuples(st.integers(0, 500), st.sampled_from(list(UNITS))), min_size=1, max_size=5)
)
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert duration(text) == sum(number * UNITS[unit] for number, unit in parts)


@given(anything)
@example("9" * 400)
@example("9" * 400 + "w")
@example("²")
@example("٣")
def test_a_duration_is_finite_or_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        seconds = duration(text)
        assert 0 <= seconds < math.inf
        timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "-5m", "5x", "m", "5 m", "1e3", "nan", "inf", "5m!", ".5h"])
def test_no_durations(text: str) -> None:
    with pytest.raises(UsageError, match="duration"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "ago", "expected"),
    [
        ("5m", True, NOW - timedelta(minutes=5)),
        ("2d", True, NOW - timedelta(days=2)),
        ("5m", False, NOW + timedelta(minutes=5)),
        ("2026-11-01T10:00+02:00", True, NOW - timedelta(hours=4)),
        ("2026-11-01T12:00Z", False, NOW),
        ("2026-11-01", True, datetime(2026, 11, 1).astimezone(UTC)),
        ("20261101", True, datetime(2026, 11, 1).astimezone(UTC)),
        ("20261101T1230", True, datetime(2026, 11, 1, 12, 30).astimezone(UTC)),
        ("86400", False, NOW + timedelta(days=1)),
        ("2026-11-01T12:30", True, datetime(2026, 11, 1, 12, 30).astimezone(UTC)),
    ],
)
def test_moments(text: str, ago: bool, expected: datetime) -> None:
    assert moment(text, ago=ago, now=NOW) == expected


def test_days_begin_in_local_time() -> None:
    began = moment("today", ago=True, now=NOW)
    assert began.astimezone().time() == datetime.min.time()
    assert began <= NOW < began + timedelta(hours=26)
    assert began - timedelta(hours=26) < moment("yesterday", ago=False, now=NOW) < began


@pytest.mark.parametrize(
    ("text", "ago", "message"),
    [
        ("20261301", False, "is not a time"),
        ("12345678", False, "is not a time"),  # seconds, or a date?
        ("1796083200", True, "is not a time"),
        ("9999-12-31", False, "more than a century ahead"),
        ("2127-12-02", False, "more than a century ahead"),
        ("101y", False, "is not a time"),
        ("2026-12-01T18:00 Europe/Berlin", False, r"is not a time.*\[\+01:00\]"),
    ],
)
def test_no_moments(text: str, ago: bool, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        moment(text, ago=ago, now=NOW)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("berlin")
def test_a_time_that_the_clocks_leave_out_or_give_twice_is_refused() -> None:
    with pytest.raises(UsageError, match=r"2026-03-29T02:30.*clocks skip this time"):
        moment("2026-03-29T02:30", ago=False, now=NOW)
    twice = r"2026-10-25T02:30\+02:00 or 2026-10-25T02:30\+01:00"
    with pytest.raises(UsageError, match=twice):
        moment("2026-10-25T02:30", ago=True, now=NOW)
    assert moment("2026-10-25T02:30+01:00", ago=True) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert moment("2026-10-25T03:30", ago=True) == datetime(2026, 10, 25, 2, 30, tzinfo=UTC)
    assert moment("2026-03-29T03:00", ago=True) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    assert moment("2026-03-29", ago=True) == datetime(2026, 3, 28, 23, 0, tzinfo=UTC)


@given(anything, st.booleans())
@example("0001-01-01T00:00+14:00", True)
@example("9999-12-31T23:59:59-12:00", False)
@example("90w" * 50, True)
def test_a_moment_is_in_utc_or_refused(text: str, ago: bool) -> None:
    with contextlib.suppress(UsageError):
        found = moment(text, ago=ago, now=NOW)
        assert found.utcoffset() == timedelta(0)


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2120, 1, 1)))
def test_a_moment_survives_being_written(when: datetime) -> None:
    aware = when.replace(tzinfo=UTC)
    assert moment(aware.isoformat(), ago=True) == aware


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12", Reference(12, 12)),
        ("3-7", Reference(3, 7)),
        ("5-5", Reference(5, 5)),
        ("@", Reference(0, 0, 0)),
        ("@~1", Reference(0, 0, 1)),
    ],
)
def test_references(text: str, expected: Reference) -> None:
    assert reference(text) == expected


@pytest.mark.parametrize("text", ["", "7-3", "-1", "1-", "@1", "@~", "@~-1", "1,2", "1 ", "x"])
def test_no_references(text: str) -> None:
    with pytest.raises(UsageError, match="is not a job"):
        reference(text)


@given(anything)
@example("9" * 30)
@example("@~" + "9" * 30)
def test_a_reference_fits_into_a_database_or_is_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        found = reference(text)
        assert 0 <= found.first <= found.last < 2**63
        assert 0 <= (found.back or 0) < 2**31


def test_tags() -> None:
    assert tag("a=b", value_needed=True) == ("a", "b")
    assert tag("a=b=c", value_needed=True) == ("a", "b=c")
    assert tag("a=", value_needed=True) == ("a", "")
    assert tag("a", value_needed=False) == ("a", None)
    for text in ("=b", "", "a"):
        with pytest.raises(UsageError, match="not a tag"):
            tag(text, value_needed=True)
