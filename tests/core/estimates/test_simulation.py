"""The queue played to its end, with times that are known."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest

from cvq.estimates.run_time import Spread
from cvq.estimates.simulation import Arrivals, Busy, Entry, Ran, Scene, Turn, play


def takes(seconds: float) -> Spread:
    return Spread(math.log(seconds), -1e-9, 1e-9)


def job(number: int, seconds: float = 10, **more: Any) -> Entry:
    rank, falling = more.pop("rank", 0), more.pop("falling", -5)
    values = {"lane": "default", "place": 0, "user": "ann", "kind": "k"} | more
    return Entry(number, Turn(falling, rank, number), times={0: takes(seconds)}, **values)


def played(*queue: Entry, free: int = 1, **more: Any) -> dict[int, Ran]:
    values = {
        "slots": [Busy(0)] * free,
        "places": {0: [0]},
        "targets": frozenset(entry.id for entry in queue),
    } | more
    return play(Scene(queue=queue, **values), Random(1))


def starts(found: dict[int, Ran]) -> dict[int, float]:
    return {number: round(ran.start, 3) for number, ran in found.items()}


def test_one_slot_runs_one_job_after_another() -> None:
    assert starts(played(job(1), job(2), job(3, 5), job(4))) == {1: 0, 2: 10, 3: 20, 4: 25}


def test_several_slots_share_the_queue() -> None:
    assert starts(played(*map(job, range(1, 6)), free=2)) == {1: 0, 2: 0, 3: 10, 4: 10, 5: 20}


def test_priority_then_turn_then_age() -> None:
    queue = [job(1, rank=3), job(2, rank=1), job(3, rank=1), job(4, rank=9, falling=-9)]
    assert starts(played(*queue)) == {4: 0, 2: 10, 3: 20, 1: 30}


def test_a_slot_takes_only_what_fits_it() -> None:
    queue = [job(1, place=1), job(2)]
    assert starts(played(*queue)) == {2: 0}  # no slot runs place 1
    found = played(*queue, slots=[Busy(0), Busy(0)], places={0: [0, 1]})
    assert starts(found) == {1: 0, 2: 0}


def test_what_runs_is_waited_for() -> None:
    busy = Busy(0, job=7, ran=30.0, time=takes(50))
    assert starts(played(job(1), slots=[busy])) == {1: pytest.approx(20, abs=0.1)}


def test_a_job_waits_for_its_time_and_for_others() -> None:
    queue = [job(1), job(2, after=frozenset({1})), job(3, ready=35.0)]
    assert starts(played(*queue, free=3)) == {1: 0, 2: 10, 3: 35}


def test_a_job_that_waits_for_one_that_is_not_there_never_starts() -> None:
    assert starts(played(job(1), job(2, after=frozenset({99})))) == {1: 0}


def test_jobs_that_arrive_take_their_turn() -> None:
    queue = [job(number, rank=number) for number in range(1, 6)]
    others = [[job(-1, user="bea")]] * 60  # which tell the rate well
    found = played(*queue, arrivals=Arrivals(10.0, others), last_ranks={("default", -5, "ann"): 5})
    assert found[5].start > 50  # others come in between
    urgent = [[job(-1, user="bea", falling=-9)]] * 60
    assert played(job(1), job(2), arrivals=Arrivals(2.0, urgent))[2].start > 30


def test_an_entry_may_stand_for_many_jobs_or_for_a_part_of_one() -> None:
    assert starts(played(job(1, weight=20.0), job(2)))[2] == 200
    shared = [job(number, weight=0.1) for number in range(1, 12)]
    found = played(*shared)
    assert found[11].start == pytest.approx(10)  # ten of them have shared the slot
    assert found[11].end == pytest.approx(20)
