"""Estimates of jobs that were held out of a history, which `benchmarks.estimates` plays."""

from __future__ import annotations

from statistics import median

import pytest

from benchmarks.estimates import Cluster
from cvq import Client


@pytest.mark.slow
def test_jobs_that_were_held_out_take_about_as_long_as_was_told(client: Client) -> None:
    outcomes = Cluster(client.db, jobs=160, held_out=24).run()
    assert len(outcomes) == 24
    known = [each for each in outcomes if each.told.time is not None]
    assert len(known) > 20
    errors = [
        abs(each.told.time.middle / (each.ended - each.started) - 1)
        for each in known
        if each.told.time is not None
    ]
    assert median(errors) < 0.5  # of a short history; the benchmark has the figures of a long one
    started = [each for each in known if each.told.start is not None]
    held = [
        each.told.start.low - 60 <= each.started - each.at <= each.told.start.high + 60
        for each in started
        if each.told.start is not None
    ]
    assert sum(held) > len(held) / 2
