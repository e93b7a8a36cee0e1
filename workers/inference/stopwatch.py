"""How long something was under way, in several threads."""

from __future__ import annotations

import threading
import time


class Stopwatch:
    """Counts the seconds in which at least one thread is within its block."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside, self._since, self._sum = 0, 0.0, 0.0

    @property
    def seconds(self) -> float:
        """So far."""
        with self._lock:
            running = time.monotonic() - self._since if self._inside else 0.0
            return self._sum + running

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._since = time.monotonic()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._sum += time.monotonic() - self._since
