"""Work that threads share."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from cvq.in_order import AHEAD, THREADS, here_or_in_order, in_order
from waiting import HANG_S


@pytest.mark.parametrize("count", [0, 1, THREADS, 5_000])
def test_results_come_in_the_order_of_what_was_given(count: int) -> None:
    made = in_order(lambda place, each: (place, each), range(count), lambda: None)
    assert list(made) == [(number, number) for number in range(count)]


def test_few_slow_ones_have_a_thread_each() -> None:
    together = threading.Barrier(THREADS, timeout=HANG_S)
    made = in_order(lambda place, each: together.wait(), range(THREADS), lambda: None)
    assert sorted(made) == list(range(THREADS))


def test_an_endless_source_is_read_no_further_than_needed() -> None:
    read = 0

    def source() -> Iterator[int]:
        nonlocal read
        while True:
            read += 1
            yield read

    made = in_order(lambda place, each: each, source(), lambda: None)
    for number in range(1, 3_000):
        assert next(made) == number
        assert read <= number + 2 * AHEAD


def test_what_one_raises_ends_it_all() -> None:
    seen = []

    def work(place: int, each: int) -> int:
        return 1 // (each - 1_000)

    with pytest.raises(ZeroDivisionError):
        seen.extend(in_order(work, range(2_000), lambda: None))
    assert len(seen) <= 1_000


@pytest.mark.parametrize(
    ("quick_s", "is_quick", "here"),
    [(HANG_S, True, 50), (0.0, True, 1), (HANG_S, False, 0)],
    ids=["all is quick", "the first was slow", "the first seems to be slow"],
)
def test_what_is_quick_needs_no_thread(quick_s: float, is_quick: bool, here: int) -> None:
    def work(place: int, each: int) -> tuple[int, int, bool]:
        return place, each, threading.current_thread() is threading.main_thread()

    looks: list[int] = []
    made = list(
        here_or_in_order(
            work, range(50), lambda: looks.append(1), quick_s=quick_s, ahead=4,
            is_quick=lambda _: is_quick,
        )
    )  # fmt: skip
    assert made == [(number, number, number < here) for number in range(50)]
    assert len(looks) >= 50
