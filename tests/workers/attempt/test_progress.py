"""Steps into a time that is left."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from cvq_workers.attempt.progress import ProgressMeter
from cvq_workers.protocol import Progress


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meter(clock: Clock) -> ProgressMeter:
    return ProgressMeter(clock)


def said(done: int, total: int = 100, share: float | None = None) -> Progress:
    return Progress(7, 1, done, total, "step", share)


def eta(meter: ProgressMeter) -> float | None:
    found = meter.take()
    assert found is not None
    left: float | None = found["eta_s"]
    return left


def run(meter: ProgressMeter, clock: Clock, seconds: Iterable[float], total: int) -> None:
    """Report a step after each of some seconds."""
    for done, second in enumerate(seconds, start=1):
        clock.now += second
        meter.update(said(done, total))


def test_the_time_left_goes_by_the_share_of_the_work(meter: ProgressMeter, clock: Clock) -> None:
    for done, share in ((1, 0.0), (50, 0.1), (75, 0.5)):
        clock.now = 100 + 100 * share  # the last steps take longest
        meter.update(said(done, share=share))
    assert meter.take() == {"done": 75, "total": 100, "unit": "step", "eta_s": 50.0}
    assert meter.take() is None


def test_without_a_share_all_units_are_alike(meter: ProgressMeter, clock: Clock) -> None:
    run(meter, clock, [1.0] * 25, 100)
    assert eta(meter) == 75.0


def test_nothing_is_foretold_from_one_report_nor_of_no_total(
    meter: ProgressMeter, clock: Clock
) -> None:
    meter.update(said(5))
    assert eta(meter) is None
    clock.now += 3
    meter.update(said(5))
    assert eta(meter) is None
    meter.update(said(6, total=0))
    assert eta(meter) is None


def test_a_slow_first_step_does_not_count(meter: ProgressMeter, clock: Clock) -> None:
    run(meter, clock, [60.0] + [1.0] * 9, 100)
    assert eta(meter) == 90.0


def test_a_slow_beginning_is_forgotten(meter: ProgressMeter, clock: Clock) -> None:
    run(meter, clock, [4.0] * 5 + [1.0] * 35, 100)
    assert eta(meter) == 60.0


def test_a_machine_that_others_come_to_use(meter: ProgressMeter, clock: Clock) -> None:
    run(meter, clock, [1.0] * 20 + [3.0] * 20, 100)
    assert eta(meter) == pytest.approx(180, rel=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_steps_that_vary_are_averaged(meter: ProgressMeter, clock: Clock, seed: int) -> None:
    seconds = random.Random(seed)
    run(meter, clock, [seconds.uniform(0.5, 1.5) for _ in range(100)], 1000)
    assert eta(meter) == pytest.approx(900, rel=0.15)


def test_an_attempt_that_resumes_is_measured_from_there(
    meter: ProgressMeter, clock: Clock
) -> None:
    for done in (60, 61, 62):
        clock.now += 2.0
        meter.update(said(done))
    assert eta(meter) == 76.0


def test_what_begins_anew_is_measured_anew(meter: ProgressMeter, clock: Clock) -> None:
    run(meter, clock, [1.0] * 50, 100)
    run(meter, clock, [2.0] * 10, 100)
    assert eta(meter) == 180.0


def test_a_million_steps_take_no_more_memory_and_lose_no_speed(
    meter: ProgressMeter, clock: Clock
) -> None:
    run(meter, clock, (0.01 for _ in range(100_000)), 1_000_000)
    assert len(meter._times) <= 256
    assert eta(meter) == pytest.approx(9_000, rel=0.01)


def test_more_than_all_is_all(meter: ProgressMeter, clock: Clock) -> None:
    run(meter, clock, [1.0] * 12, 10)
    assert eta(meter) == 0.0
