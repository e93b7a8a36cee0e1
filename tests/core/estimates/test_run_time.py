"""The law of run times, learnt from jobs with a law that is known."""

from __future__ import annotations

import math
import random
from statistics import fmean, median
from typing import Any

import pytest

from cvq.estimates.features import Features, features_of
from cvq.estimates.run_time import PastJob, RunTimes

SIZES = (128, 256, 512, 1024)


def painting(draws: random.Random, noise: float = 0.1) -> PastJob:
    """A start of 4 s, then steps of which each takes as long as the picture is large."""
    spec = {
        "size": draws.choice(SIZES),
        "steps": draws.choice((20, 50, 150, 300)),
        "optimizer": draws.choice(("lbfgs", "lbfgs", "adam")),
        "content": {
            "name": "a.png",
            "sha256": str(draws.random()),
            "bytes": draws.randrange(10**6),
        },
        "style_weight": draws.choice((1.0, 2.0)),
        "seed": draws.randrange(1000),
    }
    slow = 1.0 if spec["optimizer"] == "lbfgs" else 0.6
    seconds = 4 + spec["steps"] * (spec["size"] / 512) ** 2 * 0.4 * slow
    return PastJob(features_of(spec), seconds * math.exp(draws.gauss(0, noise)))


def paintings(number: int, noise: float = 0.1) -> list[PastJob]:
    draws = random.Random(7)
    return [painting(draws, noise) for _ in range(number)]


def plain(seconds: float, **spec: Any) -> PastJob:
    return PastJob(features_of(spec), seconds)


def middle(law: RunTimes, features: Features) -> float:
    return math.exp(law.predict(features).middle)


def test_half_the_jobs_are_predicted_within_a_fifth_and_four_of_five_lie_in_the_interval() -> None:
    past, held_out = (found := paintings(350))[:150], found[150:]
    law = RunTimes(past)
    told = [(law.predict(job.features), job.seconds) for job in held_out]
    errors = [abs(math.exp(spread.middle) / seconds - 1) for spread, seconds in told]
    within = [spread.seconds(0.1) <= seconds <= spread.seconds(0.9) for spread, seconds in told]
    assert median(errors) < 0.15
    assert 0.72 < fmean(within) < 0.9


@pytest.mark.parametrize("number", [1, 2, 5])
def test_of_a_few_jobs_the_interval_is_wide(number: int) -> None:
    law = RunTimes([plain(100.0, steps=10)] * number)
    told = law.predict({"steps": 10})
    assert told.seconds(0.5) == pytest.approx(100, rel=0.05)
    wide = told.seconds(0.9) / told.seconds(0.1)
    assert wide > {1: 4, 2: 3, 5: 1.8}[number]


def test_a_number_that_was_never_so_widens_the_interval_and_is_named() -> None:
    law = RunTimes([plain(100.0, steps=10, width=3.0)] * 30)
    usual, unusual = law.predict({"steps": 10, "width": 3.0}), law.predict({"steps": 80})
    assert unusual.high - unusual.low > 2 * (usual.high - usual.low)
    assert unusual.middle > usual.middle  # a whole number may well count work
    assert unusual.unlike == ("steps",)
    assert usual.unlike == ()


def test_a_word_that_was_never_so_widens_the_interval() -> None:
    law = RunTimes([plain(100.0, data="digits")] * 30)
    assert law.predict({"data": "faces"}).high > 2 * law.predict({"data": "digits"}).high


def test_recent_jobs_count_more() -> None:
    law = RunTimes([plain(50.0)] * 75 + [plain(100.0)] * 75)  # the newest first
    assert middle(law, {}) < 65


def test_one_job_that_was_held_up_moves_nothing() -> None:
    jobs = paintings(60, noise=0.02)
    held_up = [jobs[0]._replace(seconds=jobs[0].seconds * 50), *jobs[1:]]
    usual, other = (middle(RunTimes(some), jobs[5].features) for some in (jobs, held_up))
    assert other == pytest.approx(usual, rel=0.15)


def test_a_slow_machine_is_told_from_a_fast_one() -> None:
    draws = random.Random(3)
    jobs = []
    for place in range(80):
        job, slow = painting(draws), place % 2
        features = {**job.features, "@host": ("fast", "slow")[slow]}
        jobs.append(PastJob(features, job.seconds * (1 + slow)))
    law, asked = RunTimes(jobs), painting(draws).features
    slow, fast = (middle(law, {**asked, "@host": host}) for host in ("slow", "fast"))
    assert slow / fast == pytest.approx(2, rel=0.15)
    assert fast < middle(law, asked) < slow  # where it is not known on which


def test_every_value_of_a_specification_can_be_read() -> None:
    spec = {
        "seed": 3, "a": True, "b": None, "c": "word" * 50, "d": [1, 2], "e": [], "f": 10**400,
        "g": {"x": 1.5, "y": {"z": "deep"}}, "h": [{"sha256": "0", "bytes": 5, "items": 3}] * 2,
        "i": -2, "j": float("inf"),
    }  # fmt: skip
    found = features_of(spec)
    assert found["a"] == "true"
    assert found["b"] == "null"
    assert (found["d"], found["d.length"]) == ("1,2", 2)
    assert (found["g.x"], found["g.y.z"]) == (1.5, "deep")
    assert (found["h.bytes"], found["h.items"], found["h.length"]) == (10, 6, 2)
    assert not {"seed", "f", "j"} & set(found)
    law = RunTimes([PastJob(found, 10.0), PastJob({"i": 5, "a": 1.0}, 20.0), PastJob({}, 0.0)])
    assert law.predict(found).seconds(0.5) > 0
    assert law.predict({}).seconds(0.9) < 1e6


def test_of_a_specification_with_very_many_fields_some_are_read() -> None:
    assert len(features_of({f"f{place}": place for place in range(5_000)})) < 100
