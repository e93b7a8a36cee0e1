"""Micro-batches of a slot, one after another."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import cast

import pytest

from cvq_workers.warm import relay
from cvq_workers.warm.micro_batch import MicroBatch
from waiting import HANG_S, eventually


class Step:
    """A micro-batch of which each step can be waited for; `act` is done while it is answered."""

    def __init__(
        self,
        *,
        ahead: bool = True,
        warm: bool = True,
        act: Callable[[Callable[[], None]], None] = lambda look: None,
    ) -> None:
        self.is_quick_and_full, self.is_warm = ahead, warm
        self.brought, self.answered, self.finished = (threading.Event() for _ in range(3))
        self._act = act

    def bring(self) -> None:
        self.bringing()
        self.brought.set()

    def bringing(self) -> None:
        """What is to happen while its inputs are brought."""

    def answer(self, look: Callable[[], None]) -> None:
        assert self.brought.is_set()
        self._act(look)
        self.answered.set()

    def finish(self) -> None:
        self.finished.set()


def run(*steps: Step, over: list[Step] | None = None) -> list[Step]:
    """Run them in this order, each as soon as it is asked for; those that are over."""
    rest = list(steps[1:])
    over = [] if over is None else over

    def more() -> MicroBatch | None:
        return cast(MicroBatch, rest.pop(0)) if rest else None

    ended = cast(Callable[[MicroBatch], None], over.append)
    relay.Relay(more, ended).run(cast(MicroBatch, steps[0]))
    return over


def waits_for(event: threading.Event) -> Callable[[Callable[[], None]], None]:
    def act(_: Callable[[], None]) -> None:
        assert event.wait(HANG_S)

    return act


def test_the_ends_of_one_are_written_and_the_next_claimed_while_one_is_answered() -> None:
    third = Step()
    first = Step()
    second = Step(act=waits_for(third.brought))
    first._act = waits_for(second.brought)
    third._act = waits_for(second.finished)
    assert run(first, second, third) == [first, second, third]
    assert all(step.answered.is_set() and step.finished.is_set() for step in (first, second))


def test_where_it_is_not_quick_and_full_nothing_is_claimed_early() -> None:
    first, second = Step(ahead=False), Step()
    assert run(first, second) == [first]
    assert not second.brought.is_set()


def test_the_next_is_given_back_where_this_one_takes_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay, "_PATIENCE_S", 0.0)
    second = Step()

    def act(look: Callable[[], None]) -> None:
        def given_back() -> bool:
            look()
            return second.finished.is_set()

        eventually(given_back)

    first = Step(act=act)
    assert run(first, second) == [second, first]
    assert not second.answered.is_set()


def test_what_was_claimed_is_given_back_where_the_worker_fails() -> None:
    second = Step()

    def act(_: Callable[[], None]) -> None:
        assert second.brought.wait(HANG_S)
        raise KeyboardInterrupt

    first = Step(act=act)
    with pytest.raises(KeyboardInterrupt):
        run(first, second)
    assert first.finished.is_set()
    assert second.finished.is_set()
    assert not second.answered.is_set()


def test_answers_do_not_wait_for_the_next_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "_SOON_S", 0.0)
    first, second = Step(), Step()
    second.bringing = lambda: waits_for(first.finished)(lambda: None)  # type: ignore[method-assign]
    assert run(first, second) == [first, second]
    assert second.answered.is_set()


def test_without_another_thread_all_is_answered_one_after_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(relay.Background, "start", start)
    first, second = Step(), Step()
    assert run(first, second) == [first]
    assert first.answered.is_set()
    assert not second.brought.is_set()


def test_a_claim_that_fails_is_told_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    first, second = Step(), Step()

    def fail() -> None:
        raise ValueError("a mistake of the worker's")

    second.bringing = fail  # type: ignore[method-assign]
    assert run(first, second) == [second, first]
    assert "a mistake of the worker's" in caplog.text


def test_inputs_that_cannot_be_brought_leave_nothing_behind() -> None:
    first, over = Step(), list[Step]()

    def fail() -> None:
        raise KeyboardInterrupt

    first.bringing = fail  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run(first, over=over)
    assert over == [first]


def test_what_is_not_for_this_process_is_held_and_handed_on() -> None:
    first, second = Step(), Step(warm=False)
    rest = [cast(MicroBatch, second)]
    over: list[MicroBatch] = []
    following = relay.Relay(lambda: rest.pop() if rest else None, over.append)
    assert following.run(cast(MicroBatch, first)) is cast(MicroBatch, second)
    assert over == [cast(MicroBatch, first)]
    assert not second.finished.is_set()
