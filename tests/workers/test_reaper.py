"""Which leases are dead, whatever the clocks do. Times are seconds of the reaper's own clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cvq.ids import AttemptId
from cvq.records import Lease
from cvq_workers.reaper import BETWEEN_LOOKS_S, Reaper

LEASE = AttemptId(7, 1)
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def held(until: float, now: float, length: float | None = 30.0) -> list[Lease]:
    """The lease as the database shows it; both times in seconds after noon by its clock."""
    return [Lease(LEASE, NOON + timedelta(seconds=until), until < now, length)]


def test_a_lease_that_nobody_renews_is_dead_at_the_second_look() -> None:
    reaper = Reaper(30)
    assert reaper.look(held(30, 29), 29) == {}
    assert reaper.look(held(30, 31), 31) == {}
    assert reaper.look(held(30, 31.5), 31.5) == {}
    assert reaper.look(held(30, 33), 33) == {LEASE: NOON + timedelta(seconds=30)}


def test_a_reaper_that_has_just_started_looks_twice_as_well() -> None:
    reaper = Reaper(30)
    assert reaper.look(held(30, 1000), 0) == {}
    assert set(reaper.look(held(30, 1002), 2)) == {LEASE}


def test_a_clock_that_jumps_ahead_costs_no_living_worker_its_lease() -> None:
    reaper = Reaper(30)
    assert reaper.look(held(30, 1), 1) == {}
    assert reaper.look(held(30, 3602), 2) == {}  # the jump; the worker has not renewed yet
    assert reaper.look(held(3632, 3603), 3) == {}
    assert reaper.look(held(3632, 3606), 6) == {}


def test_a_clock_that_is_set_back_lets_no_dead_worker_keep_its_lease() -> None:
    reaper = Reaper(30)
    assert reaper.look(held(3630, 0), 0) == {}  # an hour to go, by the clock
    assert reaper.look(held(3630, 30), 30) == {}
    assert set(reaper.look(held(3630, 32), 32)) == {LEASE}


def test_a_worker_that_has_no_row_has_the_reapers_own_length() -> None:
    reaper = Reaper(5)
    assert reaper.look(held(3600, 0, None), 0) == {}
    assert set(reaper.look(held(3600, 7, None), 7)) == {LEASE}


@given(
    jumps=st.lists(st.floats(-7200, 7200), max_size=20),
    pauses=st.lists(st.floats(0.1, 3), min_size=1, max_size=40),
)
def test_no_jumps_of_the_clock_kill_a_lease_that_is_renewed(
    jumps: list[float], pauses: list[float]
) -> None:
    # Renewed before every look, as a living worker does.
    reaper, at, offset = Reaper(30), 0.0, 0.0
    for number, pause in enumerate(pauses):
        at += pause
        offset += jumps[number] if number < len(jumps) else 0.0
        now = at + offset
        assert reaper.look(held(now + 30, now), at) == {}


@given(
    jumps=st.lists(st.floats(-7200, 7200), max_size=20),
    pauses=st.lists(st.floats(0.1, 1), min_size=60, max_size=80),
)
def test_no_jumps_of_the_clock_save_a_lease_that_is_not(
    jumps: list[float], pauses: list[float]
) -> None:
    reaper, at, offset, dead_at = Reaper(2), 0.0, 0.0, None
    for number, pause in enumerate(pauses):
        at += pause
        offset += jumps[number] if number < len(jumps) else 0.0
        if reaper.look(held(2, at + offset, 2.0), at):
            dead_at = at
            break
    assert dead_at is not None
    assert dead_at <= 2 + BETWEEN_LOOKS_S + 2 * max(pauses)
