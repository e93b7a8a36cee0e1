"""What an attempt leaves in the database and the artifact store, all of it under its lease."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection

from cvq import queries
from cvq.artifacts import ArtifactStore
from cvq.db import Database, is_about_a_value
from cvq.errors import (
    CvqError,
    DatabaseError,
    LeaseLostError,
    PermanentError,
    StoreError,
    TemporaryError,
)
from cvq.lifecycle import attempts
from cvq.lifecycle.values import plain
from cvq.names import Names
from cvq.records import Artifact, Job, LogLine, MetricPoint, Outcome
from cvq.states import DISPENSABLE, Role, State

from ..failures import may_pass
from .lines import Progress

log = logging.getLogger("cvq.worker")

_T = TypeVar("_T")

_FULL = 4_000_000  # bytes that may wait to be stored, before the job is made to wait
_EACH = 100  # bytes of a line or number besides its text
# In one transaction, which locks the job's row: lines and numbers, and bytes of lines.
_AT_ONCE, _BYTES_AT_ONCE = 2_000, 400_000
_KEPT = 2  # checkpoints of a job that are kept, should the last be damaged
# How long a file that another has replaced stays for whoever has begun to fetch it.
_REPLACED_S = 30.0


class Record:
    """Collects lines, numbers and files, and writes them in one transaction at a time.

    Args:
        job: as it was claimed.
        folder: the attempt's own; no file outside of it is published.
        database: written to, again and again while it is away and the lease lasts.
        artifacts: the store.
        worker: who writes.
        holds: whether the lease will still hold in so many seconds.
        patience: for how many seconds a write is tried again.
    """

    def __init__(
        self,
        job: Job,
        folder: Path,
        *,
        database: Database,
        artifacts: ArtifactStore,
        worker: str,
        holds: Callable[[float], bool],
        patience: float,
    ) -> None:
        self.progress = Progress()
        self.pid: int | None = None
        self.upload_error: CvqError | None = None
        self._job = job
        self._folder = folder
        self._db = database
        self._artifacts = artifacts
        self._worker = worker
        self._holds = holds
        self._patience = patience
        self._logs: list[LogLine] = []
        self._metrics: list[MetricPoint] = []
        self._uploads: list[Artifact] = []
        self._names = Names()
        self._published: set[str] = set()
        self._replaced_at: float | None = None
        self._waiting = 0  # bytes of lines and numbers that are not stored yet
        self._collecting = threading.Lock()
        self._writing = threading.Lock()
        self._given_up = False
        self._seq = 0
        self._reports = 0

    @property
    def full(self) -> bool:
        """Whether so much waits to be stored that the job must wait, too."""
        return self._waiting > _FULL

    def log_to(self, stream: str) -> Callable[[bytes], None]:
        """What takes the lines of a stream."""

        def add(line: bytes) -> None:
            # A terminal shows what follows the last carriage return; Postgres takes no NUL.
            shown = line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]
            text = shown.replace("\x00", "\ufffd")
            with self._collecting:
                self._seq += 1
                self._logs.append(LogLine(self._seq, datetime.now(UTC), stream, text))
                self._waiting += len(line) + _EACH

        return add

    def add_metrics(self, step: int, values: dict[str, float], seconds: float) -> None:
        """Take named numbers of a step, at a time in seconds since the epoch."""
        when = datetime.fromtimestamp(seconds, UTC)
        points = [MetricPoint(name, step, value, when) for name, value in values.items()]
        with self._collecting:
            self._metrics += points
            self._waiting += len(points) * _EACH

    def upload(self, path: str, name: str, role: str, media_type: str | None) -> None:
        """Move a file of the job's into the store; what goes wrong is in `upload_error`."""
        file = Path(path)
        try:
            if not file.resolve().is_relative_to(self._folder.resolve()):
                raise PermanentError(f"artifact {name} lies outside the job's folder")
            artifact = self._artifacts.put_artifact(
                self._job.attempt_id,
                file,
                name=name,
                role=role,
                media_type=media_type,
                names=self._names,
            )
            with self._collecting:
                if not self._given_up:
                    self._uploads.append(artifact)
                    return
            self._remove([artifact])  # the attempt has ended without it
        except (CvqError, OSError) as error:
            # The job is worth more than a preview, or than a checkpoint that follows another.
            if role == Role.CHECKPOINT or role in DISPENSABLE:
                note = f"WARNING cvq.worker: {name} could not be stored, the job goes on: {error}"
                self.log_to("stderr")(note.encode())
                with contextlib.suppress(OSError):
                    file.unlink(missing_ok=True)
                return
            kind = TemporaryError if may_pass(error) else PermanentError
            self.upload_error = error if isinstance(error, CvqError) else kind(f"{name}: {error}")

    def give_up_uploads(self) -> None:
        """Forget the files that are still on their way."""
        with self._collecting:
            self._given_up = True

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
            return self._flush_part(even_nothing)

    def _flush_part(self, even_nothing: bool) -> bool:
        logs, metrics, uploads, progress, more = self._take()
        if not (even_nothing or logs or metrics or uploads or progress):
            return False
        self._reports += 1

        def write() -> None:
            with self._db.write() as connection:
                attempts.report(
                    connection,
                    self._job.attempt_id,
                    number=self._reports,
                    pid=self.pid,
                    progress=progress,
                    logs=logs,
                    metrics=metrics,
                    artifacts=uploads,
                )

        self._persist(write)
        if any(artifact.role == Role.CHECKPOINT for artifact in uploads):
            self._prune()
        self._note_names(uploads)
        if self._replaced_at is not None and time.monotonic() > self._replaced_at + _REPLACED_S:
            self._drop_replaced(_REPLACED_S)
        return more

    def _take(
        self,
    ) -> tuple[
        list[LogLine],
        list[MetricPoint],
        list[Artifact],
        dict[str, Any] | None,
        bool,
    ]:
        """What one report takes, and whether lines or numbers are left for another."""
        with self._collecting:
            sizes = accumulate(len(line.text) + _EACH for line in self._logs[:_AT_ONCE])
            count = max(1, sum(size <= _BYTES_AT_ONCE for size in sizes))
            logs, self._logs = self._logs[:count], self._logs[count:]
            metrics, self._metrics = self._metrics[:_AT_ONCE], self._metrics[_AT_ONCE:]
            uploads, self._uploads = self._uploads, []
            taken = sum(len(line.text) + _EACH for line in logs) + len(metrics) * _EACH
            # Characters are not bytes: what is left is reckoned anew when all is taken.
            self._waiting = self._waiting - taken if self._logs or self._metrics else 0
            more = bool(self._logs or self._metrics)
            return logs, metrics, uploads, self.progress.take(), more

    def finish(self, outcome: Outcome) -> str:
        """End the attempt; return the job's new state.

        Raises:
            LeaseLostError: the lease is gone, or ran out while the database was away.
        """
        if self._replaced_at is not None or (self._published and self._job.attempt > 1):
            self._drop_replaced(0)
        tried = False
        spent: list[Artifact] = []

        def write() -> str:
            nonlocal tried, spent
            again, tried = tried, True
            with self._db.write() as connection:
                if outcome.state == State.SUCCEEDED and not again:
                    spent = queries.checkpoints_of(connection, self._job.id)
                return attempts.finish(
                    connection, self._job.attempt_id, outcome, self._worker, again=again
                )

        try:
            state: str = self._persist(write)
        except Exception as error:
            if not is_about_a_value(error):
                raise
            log.warning("job %s: its end cannot be stored as it is: %s", self._job.id, error)
            outcome = _storable(outcome, error)
            state = self._persist(write)
        self._remove(spent)
        return state

    def read(self, query: Callable[[Connection], _T]) -> _T:
        """Ask the database, again and again while it is away and the lease lasts.

        Raises:
            LeaseLostError: the lease ran out meanwhile.
        """

        def ask() -> _T:
            with self._db.read() as connection:
                return query(connection)

        found: _T = self._persist(ask)
        return found

    def _prune(self) -> None:
        """Remove the checkpoints that newer ones have made superfluous."""

        def drop() -> list[Artifact]:
            with self._db.write() as connection:
                old = queries.checkpoints_of(connection, self._job.id)[_KEPT:]
                attempts.drop_artifacts(connection, self._job.attempt_id, old)
                return old

        self._remove(self._persist(drop))

    def _note_names(self, uploads: list[Artifact]) -> None:
        names = [artifact.name for artifact in uploads if artifact.role != Role.CHECKPOINT]
        for name in names:
            if name in self._published and self._replaced_at is None:
                self._replaced_at = time.monotonic()
            self._published.add(name)

    def _drop_replaced(self, grace: float) -> None:
        """Remove files whose name another has taken, except those replaced just now."""

        def drop() -> list[Artifact]:
            with self._db.write() as connection:
                return attempts.drop_replaced(connection, self._job.attempt_id, grace)

        self._remove(self._persist(drop))
        self._replaced_at = time.monotonic() if grace else None

    def _remove(self, artifacts: list[Artifact]) -> None:
        for artifact in artifacts:
            try:
                self._artifacts.remove(artifact)
            except StoreError as error:  # it takes room, and nothing else
                log.warning("job %s: %s", self._job.id, error)

    def _persist(self, write: Callable[[], Any]) -> Any:
        """Write, and try again while the database is away and the lease lasts.

        Where the lease is renewed all the time, the database is there, and what it refuses for
        longer than a lease it will refuse for ever.
        """
        pause, began = 0.1, time.monotonic()
        while True:
            try:
                return write()
            except DatabaseError as error:
                log.warning("job %s: %s", self._job.id, error)
                if not self._holds(pause):
                    raise LeaseLostError(*self._job.attempt_id) from error
                if time.monotonic() - began > self._patience:
                    raise
                threading.Event().wait(pause)
                pause = min(pause * 2, 2.0)


def _storable(outcome: Outcome, error: Exception) -> Outcome:
    """An end that any database can hold, after it has refused the real one for a value in it."""
    if outcome.state == State.SUCCEEDED:
        said = plain(f"its result cannot be stored: {error}")
        return Outcome(State.FAILED, "error", said, peak_memory=outcome.peak_memory)
    return replace(
        outcome,
        error=outcome.error and plain(outcome.error),
        traceback=outcome.traceback and plain(outcome.traceback),
        result=None,
    )
