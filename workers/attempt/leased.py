"""The database as one attempt may use it: as long as its lease holds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from cvq.db import Database
from cvq.errors import DatabaseError, LeaseLostError

from .attempt import Attempt

log = logging.getLogger("cvq.worker")

_T = TypeVar("_T")


class LeasedDatabase:
    """Asks the database again and again while it is away and the lease lasts.

    Where the lease is renewed all the time, the database is there, and what it refuses for longer
    than a lease it will refuse for ever.

    Args:
        patience: for how many seconds something that is refused is tried again.
    """

    def __init__(self, database: Database, attempt: Attempt, *, patience: float) -> None:
        self._db = database
        self._attempt = attempt
        self._patience = patience

    def read(self, query: Callable[[Connection], _T]) -> _T:
        """Ask for something.

        Raises:
            LeaseLostError: the lease ran out while the database was away.
            DatabaseError: it goes on to refuse.
        """

        def ask() -> _T:
            with self._db.read() as connection:
                return query(connection)

        return self._persist(ask)

    def write(self, act: Callable[[Connection], _T]) -> _T:
        """Write something in one transaction; raises what `read` does."""

        def ask() -> _T:
            with self._db.write() as connection:
                return act(connection)

        return self._persist(ask)

    def _persist(self, ask: Callable[[], _T]) -> _T:
        pause, began = 0.1, time.monotonic()
        while True:
            try:
                return ask()
            except DatabaseError as error:
                log.warning("job %s: %s", self._attempt.id.job_id, error)
                if not self._attempt.holds(pause):
                    raise LeaseLostError(*self._attempt.id) from error
                if time.monotonic() - began > self._patience:
                    raise
                threading.Event().wait(pause)
                pause = min(pause * 2, 2.0)
