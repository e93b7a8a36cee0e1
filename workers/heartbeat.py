"""The heartbeat: leases are renewed, attempts are told, and a silent database is hung up on."""

from __future__ import annotations

import logging
import time

from cvq.errors import DatabaseError
from cvq.ids import AttemptId
from cvq.lifecycle import leases, workers
from cvq.postgres import patience
from cvq.states import Drain, WorkerState

from .attempt.attempt import Attempt
from .clock import lease_clock
from .worker import Worker

log = logging.getLogger("cvq.worker")

_TRIES, _LOCKED_S = 4, 0.05  # at a lease whose row is locked, in one beat, and the pause between
_LONGEST_CALL_S = 120.0  # what no transaction of a worker's takes


class Heartbeat:
    """Says that the worker lives, and hears what somebody wants of it and of its jobs."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._asked_at: float | None = None  # when the database was asked that has not answered
        # Until then others' calls get no more time than the heartbeat's.
        self._suspicious_until = 0.0
        self._away = False
        self._resting = False

    def beat(self) -> None:
        """Renew all leases, tell their attempts, and do as the worker is told."""
        held = self._worker.attempts.held()
        self._resting = not held and not self._resting
        if self._resting:  # with nothing to hold or to cancel, every other beat will do
            return
        self._asked_at = time.monotonic()
        try:
            drain = self._renew(held)
        except DatabaseError:
            self._away = True
            for attempt in held.values():
                if lease_clock() > attempt.leased_until:
                    attempt.lose()
            raise
        finally:
            self._asked_at = None
        if self._away:
            away = time.monotonic() - self._worker.heard_at
            log.warning("the database is back, after %.0f s", away)
        self._worker.heard_at, self._away = time.monotonic(), False
        if drain:
            self.apply_drain(drain)

    def _renew(self, held: dict[AttemptId, Attempt]) -> Drain | None:
        """Renew leases and tell their attempts; return how somebody wants the worker to leave."""
        worker = self._worker
        state = WorkerState.DRAINING if worker.departure.draining else WorkerState.UP
        drain, left = None, dict(held)
        for tried in range(_TRIES):
            asked_at = lease_clock()
            with worker.db.write() as connection:
                kept = leases.renew(connection, worker.id, worker.settings.lease, left)
                locked = leases.still_held(connection, worker.id, left.keys() - kept.keys())
                if not tried:
                    drain = workers.heartbeat(connection, worker.id, state)
            self._asked_at = time.monotonic()
            for attempt in left.keys() - locked:
                try:
                    _tell(held[attempt], kept.get(attempt), asked_at)
                except Exception:  # the others' beats go on
                    log.exception("job %s attempt %s: its beat", *attempt)
            left = {attempt: held[attempt] for attempt in locked}
            if not left or worker.departure.stopping.wait(_LOCKED_S):
                break
        return drain

    def watch_database(self) -> None:
        """Hang up on a database that does not answer the heartbeat, so that it asks anew.

        What others had asked a moment later waits on connections that are as dead.
        """
        asked_at, patient = self._asked_at, patience(self._worker.settings.lease)
        now = time.monotonic()
        if asked_at is not None and now - asked_at > patient:
            log.warning("the database has not answered for %.0f s: asking anew", patient)
            self._suspicious_until = now + 2 * patient
        suspicious = now < self._suspicious_until
        self._worker.db.hang_up(patient if suspicious else _LONGEST_CALL_S)

    def apply_drain(self, how: Drain) -> None:
        """Leave, as `cvq drain` asked: at once, or when the running jobs have ended."""
        departure = self._worker.departure
        first, departure.draining = not departure.draining, True
        busy = not self._worker.slots.idle
        if first:
            log.info(
                "asked to leave: %s running jobs", "finish" if how == Drain.FINISH else "stop"
            )
        if how != Drain.FINISH or not busy:
            departure.leave()


def _tell(attempt: Attempt, cancelled: bool | None, asked_at: float) -> None:
    """Tell an attempt what the renewal brought: `cancelled` is None where its lease is lost."""
    if cancelled is None:
        attempt.lose()
        return
    attempt.beat(asked_at)
    if cancelled:
        attempt.cancel()
