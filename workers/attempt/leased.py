"""The database as one attempt may use it: as long as its lease holds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_exponential,
)

from cvq.db import Database
from cvq.errors import DatabaseError, LeaseLostError

from .attempt import Attempt

log = logging.getLogger("cvq.worker")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0

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
        retrying = Retrying(
            retry=retry_if_exception_type(DatabaseError),
            wait=wait_exponential(multiplier=_FIRST_PAUSE_S, max=_LONGEST_PAUSE_S),
            after=self._check_lease,
            stop=stop_after_delay(self._patience),
            reraise=True,
        )
        return retrying(ask)

    def _check_lease(self, state: RetryCallState) -> None:
        """Go on to wait only where the lease lasts for longer than that."""
        assert state.outcome is not None
        error = state.outcome.exception()
        log.warning("job %s: %s", self._attempt.id.job_id, error)
        if not self._attempt.holds(state.upcoming_sleep):
            raise LeaseLostError(*self._attempt.id) from error
