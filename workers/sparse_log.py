"""A log that tells of a trouble when it comes, and then ever more rarely while it lasts."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

_FIRST_S, _LONGEST_S = 10.0, 600.0
_KEPT = 200  # messages that are remembered


class Sparse(logging.Filter):
    """Lets a warning through when it is new, and then after pauses that double.

    A database that is away is told of by every thread, twice a second. What was left out is
    counted in the next line that is let through.

    Args:
        clock: seconds.
        of: the first words of the loggers that are held back; none holds back all.
        least: the lowest level that is held back.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        of: tuple[str, ...] = ("",),
        least: int = logging.WARNING,
    ) -> None:
        super().__init__()
        self._of, self._least = of, least
        self._clock = clock
        self._lock = threading.Lock()
        # By message: when it may come again, the pause after that, and how many were left out.
        self._known: dict[tuple[int, str], tuple[float, float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is to be written."""
        if record.levelno < self._least or not record.name.startswith(self._of):
            return True
        error = record.exc_info[1] if record.exc_info else None
        key = (record.levelno, record.getMessage() + (f"{error!r}" if error else ""))
        now = self._clock()
        with self._lock:
            due, pause, left_out = self._known.pop(key, (now, _FIRST_S, 0))
            # To the end, so that the first is the one heard of longest ago.
            if now < due:
                self._known[key] = (due, pause, left_out + 1)
                return False
            if now > due + 2 * _LONGEST_S:  # long over: another trouble of the same name
                pause, left_out = _FIRST_S, 0
            self._known[key] = (now + pause, min(2 * pause, _LONGEST_S), 0)
            if len(self._known) > _KEPT:
                del self._known[next(iter(self._known))]
        if left_out:
            times = "once" if left_out == 1 else f"{left_out} times"
            record.msg, record.args = f"{record.getMessage()} ({times} more since)", None
        return True
