"""What a training costs: the share of it that is done."""

from __future__ import annotations

from itertools import pairwise

import pytest

from cvq_workers.training.work import Work


def test_validation_counts_as_what_it_costs() -> None:
    # 10 epochs of 10 steps, each with a validation that costs as 5 steps.
    work = Work(steps=100, per_epoch=10, validated=15)
    assert work.share(0) == 0
    assert work.share(9) == pytest.approx(9 / 150)
    assert work.share(10) == pytest.approx(15 / 150)
    assert work.share(100) == 1
    shares = [work.share(done) for done in range(101)]
    assert all(later > sooner for sooner, later in pairwise(shares))


def test_what_follows_the_last_step_is_put_in_steps_once_their_speed_is_known() -> None:
    work = Work(steps=100, per_epoch=100, validated=0)
    work.time(4, 0.1)
    assert work.share(100) == 1
    work.time(5, 0.5)
    assert work.share(100) == pytest.approx(100 / 125)
    work.time(6, 600.0)
    assert work.share(100) == pytest.approx(100 / 125), "it does not move any more"
    long = Work(steps=1_000_000, per_epoch=100, validated=0)
    long.time(5, 0.5)
    assert long.share(1_000_000) > 0.9999
