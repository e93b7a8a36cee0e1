"""Work beside the thread that watches over a job: what it brings, loads up and stores."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from .record import Record

_FLUSH_S = 0.2  # how often output reaches the store
# A flood of output takes at most one part in so many of the time in which others can write.
_SHARE = 5
_LONGEST_PAUSE_S = 2.0


class Background(threading.Thread):
    """A function in a thread of its own, which can be left to itself; what it raised is kept."""

    def __init__(self, function: Callable[[], Any], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._function = function
        self.error: BaseException | None = None

    def run(self) -> None:
        """Call the function."""
        try:
            self._function()
        except BaseException as error:  # a plug-in's sys.exit included: told by who waits
            self.error = error


class Storing:
    """Stores what a job says, in two threads: one for its files, one for lines and numbers.

    Args:
        record: what the job's events are collected in.
        confirmed: called when all that came before a `confirm` is stored.
    """

    def __init__(self, record: Record, confirmed: Callable[[], None]) -> None:
        self._record = record
        self._confirmed = confirmed
        self._files: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._taken = self._done = 0  # each counted by one thread alone
        self._ending = threading.Event()
        self._threads = [
            Background(self._upload_all, "cvq-upload"),
            Background(self._flush_all, "cvq-store"),
        ]
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

    def upload(self, file: dict[str, Any]) -> None:
        """Take a file on, after those before it; the arguments of `Record.upload`."""
        self._taken += 1
        self._files.put(file)

    def confirm(self) -> None:
        """Say so when all that was said before is stored."""
        self._taken += 1
        self._files.put({})

    def close(self) -> None:
        """Wait for the last write to the database; a file on its way is given up."""
        self._ending.set()
        self._files.put(None)
        self._record.give_up_uploads()
        self._threads[1].join()

    def _upload_all(self) -> None:
        while (file := self._files.get()) is not None and not self._ending.is_set():
            if file:
                self._record.upload(**file)
            else:
                self._record.flush(even_nothing=True)
                self._confirmed()
            self._done += 1

    def _flush_all(self) -> None:
        pause = _FLUSH_S
        while not self._ending.wait(pause):
            started = time.monotonic()
            more = self._record.flush_part()
            spent = time.monotonic() - started
            pause = max((_SHARE - 1) * spent, 0.0 if more else _FLUSH_S)
            pause = min(pause, _LONGEST_PAUSE_S)
