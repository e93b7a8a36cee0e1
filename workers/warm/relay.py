"""A slot's micro-batches, one after another: its warm process does not wait for the database.

    answered by the process        1 ────▶ 2 ────▶ 3 ────▶
    written and claimed aside           2    1, 3    2, 4

Only where they are quick, and full: what is claimed early waits here, and not where another slot
could take it, or something more urgent overtake it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ..attempt.background import Background
from .micro_batch import MicroBatch

log = logging.getLogger("cvq.worker")

_PATIENCE_S = 5.0  # after which the next is given back
_SOON_S = 0.5  # for which ends may wait for the next claim


class Relay:
    """Runs micro-batches in a slot's thread.

    Args:
        more: claims the next; None where there is none that could follow.
        over: told of each once its ends are written, or could not be.
    """

    def __init__(
        self, more: Callable[[], MicroBatch | None], over: Callable[[MicroBatch], None]
    ) -> None:
        self._more, self._over = more, over
        self._next: MicroBatch | None = None
        self._give_back_at = 0.0

    def run(self, first: MicroBatch) -> MicroBatch | None:
        """Run one to its end, and those that follow it.

        Returns the first that is not for this process, still held.
        """
        before: MicroBatch | None = None
        current: MicroBatch | None = first
        try:
            first.bring()
            while current is not None and current.is_warm:
                aside = self._start_aside(before, ahead=current.is_quick_and_full)
                before = None
                try:
                    current.answer(self._look)
                finally:
                    if aside is not None and self._outlasts(aside, current):
                        current = None
                before, current, self._next = current, self._next, None
            others, current = current, None
        finally:
            for left in (before, current, self._next):
                if left is not None:
                    self._finish(left)
        return others

    def _start_aside(self, before: MicroBatch | None, *, ahead: bool) -> Background | None:
        """Begin to write the ends of the one before, and to bring the next."""

        def work() -> None:
            if before is not None:
                self._finish(before)
            if ahead:
                self._bring_next()

        if before is None and not ahead:
            return None
        aside = Background(work, "cvq-aside")
        try:
            aside.start()
        except RuntimeError as error:  # there may be no more threads
            log.warning("%s", error)
            if before is not None:
                self._finish(before)
            return None
        return aside

    def _outlasts(self, aside: Background, answered: MicroBatch) -> bool:
        """Wait for the other thread; whether the ends had to be written meanwhile."""
        aside.join(_SOON_S)
        late = aside.is_alive()
        if late:  # nobody who waits for an answer waits for a store or a database that is slow
            self._finish(answered)
            aside.join()
        if aside.error is not None:
            log.error("the next jobs could not be claimed", exc_info=aside.error)
        return late

    def _bring_next(self) -> None:
        found = self._more()
        if found is None:
            return
        self._give_back_at = time.monotonic() + _PATIENCE_S
        try:
            found.bring()
        except BaseException:
            self._finish(found)
            raise
        self._next = found

    def _look(self) -> None:
        """Give the next back where this one takes longer than was to be expected."""
        if self._next is not None and time.monotonic() > self._give_back_at:
            late, self._next = self._next, None
            self._finish(late)

    def _finish(self, one: MicroBatch) -> None:
        try:
            one.finish()
        except BaseException:  # the leases run out, and say so
            log.exception("the ends of a micro-batch could not be written")
        finally:
            self._over(one)
