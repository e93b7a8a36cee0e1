"""Tells whoever waits that jobs have ended, beside the slots, which never wait for Redis."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterable

from cvq.broker.endings import announce
from cvq.broker.queue import Broker
from cvq.errors import CvqError
from cvq.settings import Settings

log = logging.getLogger("cvq.worker")

_MOST_WAITING = 1000  # a Redis that hangs is told no more than this once it is back


class EndedJobs:
    """Announces ends in a thread of its own; an announcement that is lost costs only time."""

    def __init__(self, settings: Settings) -> None:
        self._broker = Broker(settings)
        self._ended: queue.Queue[list[int]] = queue.Queue(_MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()  # several slots tell

    def tell(self, job_ids: Iterable[int]) -> None:
        """Announce that jobs have ended, soon."""
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="cvq-ended", daemon=True)
                self._thread.start()
        try:
            self._ended.put_nowait(list(job_ids))
        except queue.Full:
            log.debug("nobody is told that some jobs have ended: Redis does not answer")

    def _run(self) -> None:
        while True:
            ids = self._ended.get()
            try:
                announce(self._broker, ids)
            except CvqError as error:
                log.debug("%s", error)
            except Exception:
                log.exception("ends could not be announced")
