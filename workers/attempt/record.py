"""What an attempt leaves in the database, all of it under its lease."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace

from sqlalchemy import Connection

from cvq import queries
from cvq.artifacts import ArtifactStore
from cvq.db_errors import is_about_a_value
from cvq.lifecycle import artifacts as stored
from cvq.lifecycle import attempts
from cvq.lifecycle.values import plain
from cvq.records import Artifact, Job, Outcome
from cvq.states import Reason, Role, State

from .leased import LeasedDatabase
from .reports import Report, Reports
from .uploads import discard

log = logging.getLogger("cvq.worker")

_GROWN = 1.1  # so many times what was written of its memory is written though nothing else is
_KEPT = 2  # checkpoints of a job that are kept, should the last be damaged
# How long a file that another has replaced stays for whoever has begun to fetch it.
_REPLACED_S = 30.0


class Record:
    """Writes an attempt's reports and its end, and removes the files that they make superfluous.

    Args:
        job: as it was claimed.
        reports: what is to be written.
        database: as this attempt may use it.
        artifacts: the store.
        worker: who writes.
    """

    def __init__(
        self,
        job: Job,
        reports: Reports,
        database: LeasedDatabase,
        artifacts: ArtifactStore,
        worker: str,
    ) -> None:
        self.pid: int | None = None
        self._memory = self._written_memory = 0
        self._job = job
        self._reports = reports
        self._db = database
        self._artifacts = artifacts
        self._worker = worker
        self._published: set[str] = set()
        self._replaced_at: float | None = None
        self._writing = threading.Lock()
        self._number = 0  # of the last report

    def note_memory(self, held: int | None) -> None:
        """Take how many bytes the process holds; the most of it is written."""
        self._memory = max(self._memory, held or 0)

    def flush(self, *, even_nothing: bool = False) -> None:
        """Write what has come in since the last time.

        Raises:
            LeaseLostError: the lease is gone, or ran out while the database was away.
            CvqError: the database does not take something; it is left out from here on.
        """
        while self.flush_part(even_nothing=even_nothing):
            even_nothing = False

    def flush_part(self, *, even_nothing: bool = False) -> bool:
        """Write so much that it holds nobody up; return whether there may be more."""
        with self._writing:
            report = self._reports.take()
            if report.empty and not even_nothing and not self._has_grown:
                return False
            self._write(report)
            if any(artifact.role == Role.CHECKPOINT for artifact in report.artifacts):
                self._prune()
            self._note_names(report.artifacts)
            self._drop_long_replaced()
            return report.more

    @property
    def _has_grown(self) -> bool:
        return self._memory > _GROWN * self._written_memory

    def _write(self, report: Report) -> None:
        self._number += 1
        memory = self._memory

        def write(connection: Connection) -> None:
            attempts.report(
                connection,
                self._job.attempt_id,
                number=self._number,
                pid=self.pid,
                memory=memory or None,
                progress=report.progress,
                logs=report.logs,
                metrics=report.metrics,
                artifacts=report.artifacts,
            )

        self._db.write(write)
        self._written_memory = memory

    def finish(self, outcome: Outcome) -> str:
        """End the attempt; return the job's new state.

        Raises:
            LeaseLostError: the lease is gone, or ran out while the database was away.
        """
        if self._replaced_at is not None or (self._published and self._job.attempt > 1):
            self._drop_replaced(0)
        tried = False
        spent: list[Artifact] = []

        def write(connection: Connection) -> str:
            nonlocal tried, spent
            again, tried = tried, True
            if outcome.state == State.SUCCEEDED and not again:
                spent = queries.checkpoints_of(connection, self._job.id)
            return attempts.finish(
                connection, self._job.attempt_id, outcome, self._worker, again=again
            )

        try:
            state = self._db.write(write)
        except Exception as error:
            if not is_about_a_value(error):
                raise
            log.warning("job %s: its end cannot be stored as it is: %s", self._job.id, error)
            outcome = storable_end(outcome, error)
            state = self._db.write(write)
        self._remove(spent)
        return state

    def _prune(self) -> None:
        """Remove the checkpoints that newer ones have made superfluous."""

        def drop(connection: Connection) -> list[Artifact]:
            old = queries.checkpoints_of(connection, self._job.id)[_KEPT:]
            stored.drop(connection, self._job.attempt_id, old)
            return old

        self._remove(self._db.write(drop))

    def _note_names(self, uploads: list[Artifact]) -> None:
        names = [artifact.name for artifact in uploads if artifact.role != Role.CHECKPOINT]
        for name in names:
            if name in self._published and self._replaced_at is None:
                self._replaced_at = time.monotonic()
            self._published.add(name)

    def _drop_long_replaced(self) -> None:
        if self._replaced_at is not None and time.monotonic() > self._replaced_at + _REPLACED_S:
            self._drop_replaced(_REPLACED_S)

    def _drop_replaced(self, grace: float) -> None:
        """Remove files whose name another has taken, except those replaced just now."""

        def drop(connection: Connection) -> list[Artifact]:
            return stored.drop_replaced(connection, self._job.attempt_id, grace)

        self._remove(self._db.write(drop))
        self._replaced_at = time.monotonic() if grace else None

    def _remove(self, artifacts: list[Artifact]) -> None:
        discard(self._artifacts, self._job.id, artifacts)


def storable_end(outcome: Outcome, error: Exception) -> Outcome:
    """An end that any database can hold, after it has refused the real one for a value in it."""
    if outcome.state == State.SUCCEEDED:
        said = plain(f"its result cannot be stored: {error}")
        return Outcome(State.FAILED, Reason.ERROR, said, peak_memory=outcome.peak_memory)
    return replace(
        outcome,
        error=outcome.error and plain(outcome.error),
        traceback=outcome.traceback and plain(outcome.traceback),
        result=None,
    )
