"""Stores what a job says beside the thread that watches over it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from ..protocol import ArtifactWritten
from .background import Background
from .record import Record
from .uploads import Uploads

_FLUSH_S = 0.2  # how often output reaches the store
# A flood of output takes at most one part in so many of the time in which others can write.
_SHARE = 5
_LONGEST_PAUSE_S = 2.0


class Storing:
    """Two threads: one for the job's files, one for its lines and numbers."""

    def __init__(self, record: Record, uploads: Uploads) -> None:
        self._record = record
        self._uploads = uploads
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._taken = self._done = 0  # each counted by one thread alone
        self._ending = threading.Event()
        self._threads = [
            Background(self._work, "cvq-upload"),
            Background(self._flush_all, "cvq-store"),
        ]

    def start(self) -> None:
        """Start them."""
        for thread in self._threads:
            thread.start()

    @property
    def error(self) -> BaseException | None:
        """What has stopped one of the threads."""
        return next((thread.error for thread in self._threads if thread.error), None)

    @property
    def busy(self) -> bool:
        """Whether a file is still on its way."""
        return self._taken > self._done

    def upload(self, file: ArtifactWritten) -> None:
        """Store a file, after those before it."""
        self._take(lambda: self._uploads.upload(file))

    def confirm(self, confirmed: Callable[[], None]) -> None:
        """Call this when all that was said before is stored."""

        def confirm() -> None:
            self._record.flush(even_nothing=True)
            confirmed()

        self._take(confirm)

    def close(self) -> None:
        """Wait for the last write to the database; a file on its way is given up."""
        self._ending.set()
        self._tasks.put(lambda: None)  # so that who waits for one wakes up
        self._uploads.give_up()
        self._threads[1].join()

    def _take(self, task: Callable[[], None]) -> None:
        self._taken += 1
        self._tasks.put(task)

    def _work(self) -> None:
        while True:
            task = self._tasks.get()
            if self._ending.is_set():
                return
            task()
            self._done += 1

    def _flush_all(self) -> None:
        pause = _FLUSH_S
        while not self._ending.wait(pause):
            started = time.monotonic()
            more = self._record.flush_part()
            spent = time.monotonic() - started
            pause = max((_SHARE - 1) * spent, 0.0 if more else _FLUSH_S)
            pause = min(pause, _LONGEST_PAUSE_S)
