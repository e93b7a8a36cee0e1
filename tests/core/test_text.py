"""Numbers, times and lists in sentences."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cvq.text import (
    clock,
    count,
    duration,
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
