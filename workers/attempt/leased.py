"""The database as attempts may use it: as long as a lease of theirs holds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
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
    """Asks the database again and again while it is away and a lease lasts.

    Where the lease is renewed all the time, the database is there, and what it refuses for longer
    than a lease it will refuse for ever.

    Args:
        database: the database.
        attempts: one, or those that are answered together.
        patience: for how many seconds something that is refused is tried again.
    """

    def __init__(
        self, database: Database, attempts: Collection[Attempt], *, patience: float
    ) -> None:
        self._db = database
        self._attempts = attempts
        self._patience = patience

    def read(self, query: Callable[[Connection], _T]) -> _T:
        """Ask for something.

        Raises:
            LeaseLostError: the leases ran out while the database was away.
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
        """Go on to wait only where a lease lasts for longer than that."""
        assert state.outcome is not None
        error = state.outcome.exception()
        first = next(iter(self._attempts))
        log.warning("job %s: %s", first.id.job_id, error)
        if not any(attempt.holds(state.upcoming_sleep) for attempt in self._attempts):
            raise LeaseLostError(*first.id) from error
