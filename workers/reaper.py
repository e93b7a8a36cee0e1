"""Which leases are dead: a judgement that no jump of a clock can fool."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cvq.ids import AttemptId
from cvq.records import Lease

# A living worker renews twice a second. Whoever has not, between two looks so far apart, is dead.
BETWEEN_LOOKS_S = 1.5


@dataclass
class _Watched:
    """A lease as it was seen first with this end; times by the reaper's own monotonic clock."""

    until: datetime
    unchanged_since: float
    expired_since: float | None


class Reaper:
    """Watches all leases, as the election of leaders in Kubernetes does.

    A lease is dead when it has run out by the database's clock and nobody has renewed it between
    two looks: had only the clock jumped ahead, its worker would have renewed it. It is dead, too,
    when nobody has renewed it for longer than it lasts by the reaper's own clock: had the
    database's clock been set back by an hour, a dead worker's lease would last an hour.
    """

    def __init__(self, default_length: float) -> None:
        self._default_length = default_length
        self._watched: dict[AttemptId, _Watched] = {}

    def look(self, leases: Iterable[Lease], at: float) -> dict[AttemptId, datetime]:
        """Take note of all leases; return the dead ones, each with its end as it was seen.

        Args:
            leases: all that there are now.
            at: this process's monotonic clock, in seconds.
        """
        watched: dict[AttemptId, _Watched] = {}
        dead: dict[AttemptId, datetime] = {}
        for held in leases:
            known = self._watched.get(held.attempt)
            if known is None or known.until != held.until:
                known = _Watched(held.until, at, None)
            if held.expired and known.expired_since is None:
                known.expired_since = at
            watched[held.attempt] = known
            length = held.length or self._default_length
            ran_out = (
                known.expired_since is not None and at - known.expired_since >= BETWEEN_LOOKS_S
            )
            if ran_out or at - known.unchanged_since > length + BETWEEN_LOOKS_S:
                dead[held.attempt] = held.until
        self._watched = watched
        return dead
