"""Wake-up messages that got lost are sent again; where none comes through, work begins without."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from cvq.errors import BrokerError

from .claiming import Claiming
from .worker import Worker

log = logging.getLogger("cvq.worker")


class WakeUps:
    """Sees to it that no slot idles while a job waits for it.

    Args:
        work: runs queued jobs until none is left.
    """

    def __init__(self, worker: Worker, claiming: Claiming, work: Callable[[], object]) -> None:
        self._worker = worker
        self._claiming = claiming
        self._work = work
        self._epoch: str | None = None  # of Redis, which is another once its memory is lost
        self._redis_down = False
        self._idle_with_work = False

    def repair(self) -> None:
        """Notify of queued jobs whose message is gone: a slot idles, a job waits, none is there.

        An embedded Redis that died is started again. Where a slot still idles at the next look,
        nobody hears a message (Redis is down, or Celery waits half a minute before it connects
        again), and the work begins without one.
        """
        free = 0 if self._worker.departure.draining else self._worker.slots.free
        queued = self._claiming.queued() if free else {}
        waiting = bool(queued) or (free > 0 and self._claiming.unanswered)
        if waiting and self._idle_with_work:
            threading.Thread(
                target=self._work_without_message, name="cvq-work", daemon=True
            ).start()
        self._idle_with_work = waiting
        try:
            self._notify(queued, free)
        except BrokerError as error:
            if not self._redis_down:
                log.warning("%s; jobs go on without it", error)
            self._redis_down = True

    def _notify(self, queued: dict[str, int], free: int) -> None:
        broker = self._worker.broker
        epoch = broker.epoch()
        wiped = self._epoch not in (None, epoch)
        if wiped or self._redis_down:
            log.warning("Redis is back%s", ", its memory lost" if wiped else "")
        self._epoch, self._redis_down = epoch, False
        lengths = broker.lengths(list(queued)) if queued else {}
        for name, count in queued.items():
            if wiped or not lengths[name]:
                broker.notify(name, min(count, free))

    def _work_without_message(self) -> None:
        try:
            self._work()
        except Exception:
            log.exception("a slot without a message")
