"""Work that threads share."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from cvq.in_order import AHEAD, THREADS, in_order
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
