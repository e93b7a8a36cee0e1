"""How long the tests wait: for as long as it takes.

A machine may be slow or busy, so no verdict hangs on the clock. `HANG_S` is no expectation: it
ends a run in which something will never happen, and every wait, subprocess and poll of the tests
takes it. What a test says about time it derives from what happened (rows, times in the history,
the order of events), never from how long it took here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

HANG_S = float(os.environ.get("HANG_S", "600"))
"""Seconds until a wait counts as a hang; `HANG_S=20 pytest …` where a failure is expected."""


def eventually(look: Callable[[], Any], what: str = "") -> Any:
    """Poll until `look` returns something true, and return that."""
    deadline = time.monotonic() + HANG_S
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {HANG_S:g} s: {what or look}")
        time.sleep(0.02)
    return found
