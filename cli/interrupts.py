"""Ctrl-C, SIGTERM and SIGHUP while a command waits."""

from __future__ import annotations

import signal
import threading
import time
from types import TracebackType
from typing import Any, Self

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NAP_S = 0.1  # a person does not notice


class Terminated(SystemExit):
    """SIGTERM or SIGHUP arrived: unwind, clean up, and leave as the signal would have."""


class Interrupts:
    """Inside, a signal is noted, and raised by whoever waits, at its next `check`.

    An exception that a signal handler raises comes up wherever Python happens to be: in the
    callback of a weak reference or of an import, which swallows it; in the clean-up of a library,
    whose own error then takes its place; in a progress bar that is half drawn. A second signal
    does not wait for a look: it is raised at once.
    """

    def __init__(self) -> None:
        self._noted: BaseException | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self  # signals are none of its business
        for number in _NUMBERS:
            # What is ignored stays so, as under nohup.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if error is None:
            self.check()

    def check(self) -> None:
        """Raise what has arrived since the last time.

        Raises:
            KeyboardInterrupt: Ctrl-C.
            Terminated: SIGTERM or SIGHUP.
        """
        if self._noted is not None:
            noted, self._noted = self._noted, None
            raise noted

    def sleep(self, seconds: float) -> None:
        """Wait, and raise what arrives meanwhile, a moment later; see `check`."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, _NAP_S))
        self.check()

    def _handle(self, number: int, _frame: object) -> None:
        error = KeyboardInterrupt() if number == signal.SIGINT else Terminated(128 + number)
        if self._noted is not None:
            raise error
        self._noted = error
