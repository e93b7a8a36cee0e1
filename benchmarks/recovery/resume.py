"""A job that resumes gives what it would have given."""

from __future__ import annotations

import hashlib
import os
import re
import signal
from typing import Any

from cvq import JobHandle, queries
from cvq.samples import write_samples

from .measure import (
    PATIENCE_S,
    attempts_of,
    cluster,
    must,
    say,
)


def resume() -> bool:
    """A style transfer killed three times, against one that was left alone: the same bytes."""
    ends: list[tuple[str, list[tuple[int, int]]]] = []
    for kills in (0, 3):
        with cluster(1, CVQ_CHECKPOINT_EVERY="1") as made:
            write_samples(made.home)
            handle = made.client.submit(
                "style-transfer", content=made.home / "content.jpg",
                style=[made.home / "style.jpg"], size=224, steps=80, retries=kills,
            )  # fmt: skip
            for attempt in range(1, kills + 1):
                must(lambda n=attempt, h=handle: _saved_in(h, n), "a checkpoint")
                pid = attempts_of(handle)[attempt - 1].pid
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
            handle.wait(PATIENCE_S * 3)
            [picture] = handle.save(made.home)
            ends.append((hashlib.sha256(picture.read_bytes()).hexdigest(), _redone(handle)))
    (whole, _), (resumed, redone) = ends
    steps = ", ".join(f"{again} of {saved}" for again, saved in redone)
    same = "equal" if whole == resumed else "DIFFERS"
    return say(f"style transfer killed 3 times: sha256 {same} ({resumed[:12]}); steps "
               f"done again, of those between two checkpoints: {steps}",
               good=whole == resumed)  # fmt: skip


def _saved_in(handle: JobHandle, attempt: int) -> bool:
    with handle.client.db.read() as connection:
        saved = queries.checkpoints_of(connection, handle.id)
    return any(artifact.attempt == attempt for artifact in saved)


def _redone(handle: JobHandle) -> list[tuple[int, int]]:
    """For each resumption: the steps done again, and those that a checkpoint interval has."""
    with handle.client.db.read() as connection:
        points = queries.metric_points(connection, handle.id, names=["total_loss"])
        lines = queries.logs_of(connection, handle.id)
    steps: dict[int, list[Any]] = {}
    for point in points:
        steps.setdefault(point.attempt, []).append(point)
    found = []
    for line in lines:
        if match := re.search(r"resumed after step (\d+)", line.text):
            before = steps[line.attempt - 1]
            seconds = (before[-1].time - before[0].time).total_seconds()
            interval = round(len(before) / max(seconds, 0.1)) + 1
            found.append((before[-1].step - int(match[1]), interval))
    return found
