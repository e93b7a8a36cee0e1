"""A worker's places for jobs, and the attempts that run in them."""

from __future__ import annotations

import signal
import threading

import pytest

from cvq.devices import Slot
from cvq.ids import AttemptId
from cvq_workers.departure import Departure
from cvq_workers.slots import Attempts, Slots
from waiting import HANG_S


class Stoppable:
    """An attempt that notes for how long it may go on."""

    def __init__(self, job_id: int) -> None:
        self.id = AttemptId(job_id, 1)
        self.graces: list[float] = []

    def stop(self, grace: float) -> None:
        self.graces.append(grace)


def test_the_slot_that_was_free_for_longest_is_next() -> None:
    first, second = Slot("cpu", 1), Slot("cpu", 2)
    slots = Slots([first, second])
    assert slots.take() is first
    slots.give_back(first)
    assert [slots.take(), slots.take(), slots.take()] == [second, first, None]
    assert (slots.free, slots.idle, len(slots)) == (0, False, 2)


def test_who_waits_for_idle_slots_waits_for_the_last() -> None:
    slots = Slots([Slot("cpu", 1), Slot("cpu", 1)])
    taken = [slots.take(), slots.take()]
    waiter = threading.Thread(target=slots.wait_until_idle)
    waiter.start()
    for slot in taken:
        assert slot is not None
        assert waiter.is_alive()
        slots.give_back(slot)
    waiter.join(HANG_S)
    assert not waiter.is_alive()


def test_an_attempt_that_begins_after_a_stop_is_stopped_and_a_second_stop_is_at_once() -> None:
    attempts = Attempts(grace=30)
    early, late, ended = (Stoppable(job_id) for job_id in (1, 2, 3))
    for attempt in (early, ended):
        attempts.add(attempt)  # type: ignore[arg-type]
    attempts.discard(ended)  # type: ignore[arg-type]
    attempts.stop(attempts.announce_stop())
    attempts.add(late)  # type: ignore[arg-type]
    assert attempts.held() == {early.id: early, late.id: late}
    attempts.stop(attempts.announce_stop())
    assert (early.graces, late.graces, ended.graces) == ([30, 0], [30, 0], [])


def test_a_second_signal_comes_through_while_the_first_one_stops_the_attempts() -> None:
    class Interrupted(Stoppable):
        def stop(self, grace: float) -> None:
            super().stop(grace)
            if len(self.graces) == 1:  # as a signal's handler does, in the same thread
                attempts.stop(attempts.announce_stop())

    attempts = Attempts(grace=30)
    attempt = Interrupted(1)
    attempts.announce_stop()
    adding = threading.Thread(target=attempts.add, args=(attempt,), daemon=True)
    adding.start()
    adding.join(HANG_S)
    assert attempt.graces == [30, 0]


def test_a_worker_shuts_itself_down_once_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr("os.kill", lambda _, number: sent.append(number))
    departure = Departure()
    askers = [threading.Thread(target=departure.leave) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(HANG_S)
    assert sent == [signal.SIGTERM]
