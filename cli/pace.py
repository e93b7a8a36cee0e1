"""How fast something goes, and when it will be done at that pace."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

_WINDOW_S = 30.0  # over which a pace is measured


class Pace:
    """How fast a batch or a sweep goes, over the last half a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, float]] = deque()

    def __call__(self, share: float, *, idle: bool) -> tuple[float | None, float | None]:
        """Its share done in a second, and the seconds that are left; None: not known yet.

        Args:
            share: done so far.
            idle: no job runs; while it is so before anything was done, no time counts.
        """
        now = self._clock()
        if idle and len(self._seen) == 1 and share == self._seen[0][1]:
            self._seen.clear()
        if not self._seen or share != self._seen[-1][1]:
            self._seen.append((now, share))
        while len(self._seen) > 2 and now - self._seen[1][0] > _WINDOW_S:
            self._seen.popleft()
        seconds, done = now - self._seen[0][0], share - self._seen[0][1]
        if done <= 0 or seconds <= 0:
            return None, None
        return done / seconds, (1 - share) * seconds / done
