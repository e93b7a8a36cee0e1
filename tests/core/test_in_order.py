"""Work that threads share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from cvq.in_order import AHEAD, THREADS, here_or_in_order, in_order
from waiting import HANG_S


@pytest.mark.parametrize("count", [0, 1, THREADS, 5_000])
def test_results_come_in_the_order_of_what_was_given(count: int) -> None:
    made = in_order(str, range(count), lambda: None)
    assert list(made) == list(map(str, range(count)))


def test_few_slow_ones_have_a_thread_each() -> None:
    together = threading.Barrier(THREADS, timeout=HANG_S)
    made = in_order(lambda _: together.wait(), range(THREADS), lambda: None)
    assert sorted(made) == list(range(THREADS))


def test_all_threads_have_something_to_do_after_many_quick_ones() -> None:
    busy: set[int] = set()
    all_are = threading.Event()

    def work(each: int) -> bool:
        if each < 3_000:
            return True
        busy.add(threading.get_ident())
        if len(busy) == THREADS:
            all_are.set()
        in_time = all_are.wait(HANG_S)
        all_are.set()  # so that the rest need not wait in vain
        return in_time

    assert all(in_order(work, range(3_000 + 2 * AHEAD), lambda: None))


def test_an_endless_source_is_read_no_further_than_needed() -> None:
    read = 0

    def source() -> Iterator[int]:
        nonlocal read
        while True:
            read += 1
            yield read

    made = in_order(lambda each: each, source(), lambda: None)
    for number in range(1, 3_000):
        assert next(made) == number
        assert read <= number + 2 * AHEAD


def test_what_one_raises_ends_it_all() -> None:
    seen = []

    def work(each: int) -> int:
        return 1 // (each - 1_000)

    with pytest.raises(ZeroDivisionError):
        seen.extend(in_order(work, range(2_000), lambda: None))
    assert len(seen) <= 1_000


def test_what_is_done_just_as_it_was_given_up_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Future.result

    def late(self: Future[Any], timeout: float | None = None) -> Any:
        found = real(self)
        if timeout is not None:
            raise TimeoutError
        return found

    monkeypatch.setattr(Future, "result", late)
    assert list(in_order(str, range(3), lambda: None)) == ["0", "1", "2"]


def test_a_timeout_of_the_work_ends_it_all() -> None:
    def work(each: int) -> int:
        raise TimeoutError("of a server")

    with pytest.raises(TimeoutError, match="of a server"):
        list(in_order(work, [1], lambda: None))


def test_whoever_looks_may_end_it_while_nothing_is_ready() -> None:
    begun, released, looks = [], threading.Event(), []

    def work(each: int) -> bool:
        begun.append(each)
        return released.wait(HANG_S)

    def look() -> None:
        looks.append(1)
        if len(looks) == AHEAD + 2:  # when no more are begun
            released.set()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(in_order(work, range(10 * AHEAD), look))
    assert len(begun) <= AHEAD
    assert not [each for each in threading.enumerate() if each.name.startswith("cvq-store")]


@pytest.mark.parametrize(
    ("quick_s", "is_quick", "here"),
    [(HANG_S, True, 50), (0.0, True, 1), (HANG_S, False, 0)],
    ids=["all is quick", "the first was slow", "the first seems to be slow"],
)
def test_what_is_quick_needs_no_thread(quick_s: float, is_quick: bool, here: int) -> None:
    def work(each: int) -> tuple[int, bool]:
        return each, threading.current_thread() is threading.main_thread()

    looks: list[int] = []
    made = list(
        here_or_in_order(
            work, range(50), lambda: looks.append(1), quick_s=quick_s, ahead=4,
            is_quick=lambda _: is_quick,
        )
    )  # fmt: skip
    assert made == [(number, number < here) for number in range(50)]
    assert len(looks) >= 50
