"""When a process that answers nothing is frozen, and when it only may be slow."""

from __future__ import annotations

import pytest

from cvq_workers.process import silence as module
from cvq_workers.process.silence import Silence


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def tick(silence: Silence, clock: Clock, turns: int, seconds: float = 0.1) -> float:
    for _ in range(turns):
        clock.now += seconds
        silence.tick()
    return silence.seconds


def test_time_counts_from_a_beat_to_its_answer(clock: Clock) -> None:
    silence = Silence()
    assert tick(silence, clock, 100) == 0
    silence.ask()
    assert tick(silence, clock, 20) == pytest.approx(2)
    silence.heard()
    assert tick(silence, clock, 20) == 0


def test_a_second_beat_does_not_begin_the_wait_anew(clock: Clock) -> None:
    silence = Silence()
    for _ in range(4):
        silence.ask()
        tick(silence, clock, 10)
    assert silence.seconds == pytest.approx(4)


def test_time_in_which_the_worker_itself_was_held_up_does_not_count(clock: Clock) -> None:
    silence = Silence()
    silence.ask()
    assert tick(silence, clock, 1, seconds=3600) <= 0.5
