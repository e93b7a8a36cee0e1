"""Steps into a time that is left."""

from __future__ import annotations

import time
from typing import Any

from ..protocol import Progress


class ProgressMeter:
    """The last progress of a job, with the seconds left by its speed so far."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None  # share of the work, and when
        self._last: dict[str, Any] | None = None
        self._fresh = False

    def update(self, said: Progress) -> None:
        """Note how much is done."""
        now = time.monotonic()
        share = said.share
        if share is None:
            share = said.done / said.total if said.total else 0.0
        if self._first is None or share < self._first[0]:
            self._first = (share, now)
        since, begun = self._first
        eta = (1 - share) * (now - begun) / (share - since) if share > since else None
        self._last = {
            "done": said.done,
            "total": said.total,
            "unit": said.unit,
            "eta_s": None if eta is None else round(max(eta, 0.0), 1),
        }
        self._fresh = True

    def take(self) -> dict[str, Any] | None:
        """What has not been taken yet, or None where nothing is new."""
        fresh, self._fresh = self._fresh, False
        return self._last if fresh else None
