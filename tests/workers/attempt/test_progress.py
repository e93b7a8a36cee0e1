"""Steps into a time that is left."""

from __future__ import annotations

import pytest

from cvq_workers.attempt import progress
from cvq_workers.attempt.progress import ProgressMeter
from cvq_workers.protocol import Progress


def test_the_time_left_goes_by_the_share_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    meter = ProgressMeter()
    for done, share in ((1, 0.0), (50, 0.1), (75, 0.5)):
        now = 100 + 100 * share  # the last steps take longest
        meter.update(Progress(7, 1, done, 100, "step", share))
    found = meter.take()
    assert found is not None
    assert (found["done"], found["eta_s"]) == (75, 50.0)
    plain = ProgressMeter()
    for done in (0, 25):
        now = 100.0 + done
        plain.update(Progress(7, 1, done, 100, "step", None))
    assert plain.take() == {"done": 25, "total": 100, "unit": "step", "eta_s": 75.0}
