"""Steps into a time that is left."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

from ..protocol import Progress

_KEPT = 256  # reports; of more, every other one is forgotten
_RECENT = 0.5  # of the time so far, by which the speed goes


class ProgressMeter:
    """The last progress of a job, with the seconds left by its speed of late.

    The speed is that of the later half of the time since the first report: a beginning that was
    slow, and a machine that others have come to use, are not counted for ever. What comes before
    the first report, such as the first step with all that it allocates, is not counted at all. An
    attempt that resumes, or that begins anew at less than was done, is measured from there.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: list[float] = []
        self._shares: list[float] = []  # of the work, at these times
        self._last: dict[str, Any] | None = None
        self._eta: float | None = None
        self._fresh = False

    def update(self, said: Progress) -> None:
        """Note how much is done."""
        share = said.share
        if share is None:
            share = min(1.0, said.done / said.total) if said.total > 0 else 0.0
        if self._shares and share < self._shares[-1]:
            self._times, self._shares = [], []
        if not self._shares or share > self._shares[-1]:
            self._note(share)
        self._last = {"done": said.done, "total": said.total, "unit": said.unit}
        self._fresh = True

    def _note(self, share: float) -> None:
        self._times.append(self._clock())
        self._shares.append(share)
        if len(self._times) > _KEPT:
            # The first stays, and the last.
            del self._times[1:-1:2], self._shares[1:-1:2]

    def take(self) -> dict[str, Any] | None:
        """What has not been taken yet, or None where nothing is new."""
        if not self._fresh or self._last is None:
            return None
        self._fresh = False
        eta = self._left()
        return self._last | {"eta_s": None if eta is None else round(eta, 1)}

    def _left(self) -> float | None:
        """Seconds, from now; None where nothing was done yet since the first report."""
        if len(self._times) < 2:
            return None
        times, shares = self._times, self._shares
        since = times[-1] - _RECENT * (times[-1] - times[0])
        begin = min(bisect_left(times, since), len(times) - 2)
        speed = (shares[-1] - shares[begin]) / max(times[-1] - times[begin], 1e-6)
        return max(0.0, (1 - shares[-1]) / speed - (self._clock() - times[-1]))
