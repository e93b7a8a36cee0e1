"""The clock of leases, which a worker and the processes of its jobs share."""

from __future__ import annotations

import time


def lease_clock() -> float:
    """Seconds on a clock that worker and job share, and that no setting of the time moves.

    On Linux it goes on while the machine sleeps, as the leases in the database do.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)
