"""A worker's places for jobs, and the attempts that run in them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from cvq.devices import Slot
from cvq.ids import AttemptId

from .attempt.attempt import Attempt


class Slots:
    """The places for jobs. One that claims a job is taken already, though no attempt runs yet."""

    def __init__(self, slots: list[Slot]) -> None:
        self._all = slots
        self._free = deque(slots)
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._all)

    def take(self) -> Slot | None:
        """The slot that has been free for longest, or None where all are taken."""
        with self._changed:
            return self._free.popleft() if self._free else None

    def give_back(self, slot: Slot) -> None:
        """Make a slot free again."""
        with self._changed:
            self._free.append(slot)
            self._changed.notify_all()

    @property
    def free(self) -> int:
        """How many are free."""
        return len(self._free)

    @property
    def idle(self) -> bool:
        """Whether every slot is free: none runs a job, and none is claiming one."""
        return len(self._free) == len(self._all)

    def wait_until_idle(self) -> None:
        """Wait until every slot is free."""
        with self._changed:
            self._changed.wait_for(lambda: self.idle)


class Attempts:
    """The attempts that run here; those that begin after a stop are stopped as well.

    Args:
        grace: seconds in which such an attempt may save its work.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._running: set[Attempt] = set()
        self._stops = 0
        # A signal's handler stops them, also while another signal's is at it.
        self._lock = threading.RLock()

    def add(self, attempt: Attempt) -> None:
        """An attempt begins."""
        with self._lock:
            self._running.add(attempt)
            if self._stops:
                attempt.stop(self._grace)

    def discard(self, attempt: Attempt) -> None:
        """An attempt has ended."""
        with self._lock:
            self._running.discard(attempt)

    def held(self) -> dict[AttemptId, Attempt]:
        """Those that run, by their ids."""
        with self._lock:
            return {attempt.id: attempt for attempt in self._running}

    def announce_stop(self, grace: float | None = None) -> float:
        """Stop those that begin from now on; return how long the running ones have.

        That is `grace` seconds, or by default this object's own; asked again, none.
        """
        with self._lock:
            grace = 0.0 if self._stops else self._grace if grace is None else grace
            self._stops += 1
            return grace

    def stop(self, grace: float) -> None:
        """Stop those that run within `grace` seconds."""
        for attempt in self.held().values():
            attempt.stop(grace)
