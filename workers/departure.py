"""How a worker leaves."""

from __future__ import annotations

import os
import signal
import threading


class Departure:
    """How far a worker is on its way out.

    Attributes:
        draining: no more jobs are taken.
        asked: the running ones are to stop.
        stopping: they have; the worker's threads are to end.
        left: all is done.
    """

    def __init__(self) -> None:
        self.draining = False
        self.asked, self.stopping, self.left = (threading.Event() for _ in range(3))
        self._leaving = False
        self._lock = threading.Lock()

    @property
    def leaving(self) -> bool:
        """Whether the worker shuts down by its own will."""
        return self._leaving

    def leave(self) -> None:
        """Shut down as SIGTERM would, once, whoever asks first."""
        with self._lock:
            first, self._leaving = not self._leaving, True
        if first:
            os.kill(os.getpid(), signal.SIGTERM)
