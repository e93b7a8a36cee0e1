"""A sweep with a real worker: trials run, and one that is not worth it is really stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cvq import Client

# The score is the number of lines; the worst goes on until it is stopped.
_SCORED = """
import time
for step in (1, 2, 3):
    ctx.metrics(step, score=spec.lines)
while spec.lines == 1:
    time.sleep(0.05)
r = {"score": spec.lines}
"""


def test_trials_run_and_the_worst_is_stopped(
    client: Client, start_worker: Callable[..., Any]
) -> None:
    start_worker("--slots", "2")
    said: list[str] = []
    sweep = client.sweep(
        "misbehave", {"lines": "1,4,9,7"}, how="python", code=_SCORED,
        maximize="score", prune="median", parallel=2,
    )  # fmt: skip
    sweep.wait(say=said.append)
    assert [(trial.number, trial.state) for trial in sweep.ranked()] == [
        (3, "succeeded"), (4, "succeeded"), (2, "succeeded"), (1, "pruned")
    ]  # fmt: skip
    why = "score 1 by step 3 is worse than the median 7 of 3 others"
    assert said == [f"trial 1 (lines=1) pruned: {why}"]
    job = client.job(sweep.trials[0].job or 0)
    assert (job.state, job.reason) == ("cancelled", "pruned")
    assert sweep.best_job is not None
    assert sweep.best_job.result == {"score": 9}
