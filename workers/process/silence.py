"""How long a process has answered nothing."""

from __future__ import annotations

import time

_STALL_S = 0.5  # a longer turn of the watching thread says that the worker itself was held up


class Silence:
    """How long a process has answered nothing although it could have."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._asked = False
        self._last = time.monotonic()

    def ask(self) -> None:
        """A beat was sent."""
        self._asked = True

    def heard(self) -> None:
        """Something was answered."""
        self._asked, self.seconds = False, 0.0

    def tick(self) -> None:
        """Time has passed, and all that was said until now is read."""
        now = time.monotonic()
        # While this thread itself was held up, the process may have answered.
        passed, self._last = min(now - self._last, _STALL_S), now
        if self._asked:
            self.seconds += passed
