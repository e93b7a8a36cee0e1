"""Copies of the models that a warm process reads, where the store is not on this machine."""

from __future__ import annotations

import shutil
import threading
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path


class ModelFiles:
    """Keeps the copies that a process may read still; its methods are for any thread.

    Args:
        folder: where each job's model has a folder, called by the job's number.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._jobs: defaultdict[str, set[int]] = defaultdict(set)
        self._held: dict[object, str] = {}

    def hold(self, owner: object, batch_key: str) -> None:
        """A micro-batch begins, and keeps the models of its key until it is over."""
        with self._lock:
            self._held[owner] = batch_key

    def note(self, batch_key: str, job: int) -> None:
        """A job's model is brought for the micro-batches of a key."""
        with self._lock:
            self._jobs[batch_key].add(job)

    def release(self, owner: object, resident: Collection[str]) -> None:
        """A micro-batch is over: remove what neither another nor a loaded model needs.

        Args:
            owner: the micro-batch; one that has held nothing may be told too.
            resident: the keys whose models are loaded.
        """
        with self._lock:
            self._held.pop(owner, None)
            needed = {*resident, *self._held.values()}
            over = [self._jobs.pop(key) for key in self._jobs.keys() - needed]
            for job in set[int]().union(*over).difference(*self._jobs.values()):
                shutil.rmtree(self.folder / str(job), ignore_errors=True)
