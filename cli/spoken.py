"""When a line is said of what goes on, where no bar can show it."""

from __future__ import annotations

import time

_EVERY_S = 10.0
_EVERY_SHARE = 0.1


class Spoken:
    """A line is due at every change of state, at every tenth of the work, and now and then.

    Not where nothing has moved.
    """

    def __init__(self) -> None:
        self._state, self._share, self._at = "", 0.0, 0.0

    def due(self, state: str, share: float) -> bool:
        """Whether to say a line now, which is then taken as said.

        Args:
            state: in words.
            share: done so far, from 0 to 1.
        """
        late = share > self._share and time.monotonic() - self._at > _EVERY_S
        if state == self._state and not late and share < self._share + _EVERY_SHARE:
            self._share = min(self._share, share)  # of an attempt that begins anew
            return False
        self._state, self._share, self._at = state, share, time.monotonic()
        return True
