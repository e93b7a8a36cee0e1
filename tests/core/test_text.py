"""Numbers, times and lists in sentences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cvq.text import (
    about,
    between,
    clock,
    clock_about,
    count,
    duration,
    exactly,
    join,
    one_line,
    percent,
)


def test_nothing_is_said_of_what_is_not_known() -> None:
    assert (duration(None), duration(float("inf")), clock(None), join([])) == ("", "", "", "")


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "3"), (2, "3 and 4"), (3, "3, 4 and 5"), (4, "3, 4, 5 and 1 more")],
)
def test_lists_name_the_first_and_count_the_rest(number: int, text: str) -> None:
    assert join(range(3, 3 + number), most=3) == text


@pytest.mark.parametrize(
    ("probability", "text"),
    [
        (0.0, "0 %"),
        (0.473, "47 %"),
        (0.99, "99 %"),
        (0.997, "99.7 %"),
        (0.999999, "99.9 %"),
        (1.0, "100 %"),
    ],
)
def test_what_is_not_certain_is_not_rounded_to_certainty(probability: float, text: str) -> None:
    assert percent(probability) == text


def test_one_line() -> None:
    assert one_line(" a\n  b\tc\n") == "a b c"
    assert one_line("x" * 10, most=10) == "x" * 10
    assert one_line("x" * 11, most=10) == "x" * 9 + "…"


def test_counts_and_clocks() -> None:
    assert [count(n, "job") for n in (0, 1, 2)] == ["0 jobs", "1 job", "2 jobs"]
    assert [count(n, "class", "classes") for n in (1, 2)] == ["1 class", "2 classes"]
    noon = datetime(2026, 11, 1, 12, tzinfo=UTC)
    assert clock(noon) == f"{noon.astimezone():%Y-%m-%d} {noon.astimezone():%H:%M:%S}"


def test_times_read_as_roughly_as_they_are_known() -> None:
    assert [about(s) for s in (0.42, 7.3, 88, 200, 3000, 9000, 300_000)] == [
        "0.4s", "7.5s", "88s", "3.5m", "50m", "2.5h", "3.5d",
    ]  # fmt: skip
    assert (between(120, 300), between(40, 120), between(61, 61.2)) == ("2–5m", "40s–2m", "61s")
    assert [exactly(seconds) for seconds in (None, 0.05, 3600)] == ["", "0.05s", "3600s"]


def test_a_moment_to_come_is_a_time_today_a_day_soon_and_a_date_later() -> None:
    noon = datetime(2026, 11, 4, 12, tzinfo=UTC).astimezone()
    soon, later = noon + timedelta(days=2), noon + timedelta(days=20)
    assert clock_about(noon, noon) == f"{noon:%H:%M}"
    assert (clock_about(soon, noon), clock_about(later, noon)) == (
        f"{soon:%a %H:%M}", f"{later:%Y-%m-%d}",
    )  # fmt: skip
