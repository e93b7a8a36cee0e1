"""What the attempts of a micro-batch leave in the store and the database."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from functools import partial
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential

from cvq.db_errors import is_about_a_value
from cvq.errors import DatabaseError, LeaseLostError, PermanentError, StoreError
from cvq.ids import AttemptId
from cvq.lifecycle import attempts as lifecycle
from cvq.names import Names
from cvq.records import Artifact, Outcome

from ..attempt.attempt import Attempt
from ..attempt.execution import Site
from ..attempt.progress import ProgressMeter
from ..attempt.record import storable_end
from ..attempt.uploads import discard
from ..protocol import ArtifactWritten, Progress

log = logging.getLogger("cvq.worker")

_UPLOADS = 4  # threads
_PROGRESS_S = 0.5
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0

_T = TypeVar("_T")


class Books:
    """Keeps what was left, and writes it under the leases of the attempts.

    Args:
        site: the store, the database and who writes.
        attempts: the attempts of a micro-batch.
        folder: theirs; no file outside of it is published.
    """

    def __init__(self, site: Site, attempts: Mapping[AttemptId, Attempt], folder: Path) -> None:
        self._site = site
        self._attempts = attempts
        self._folder = folder.resolve()
        self._pool: ThreadPoolExecutor | None = None
        self._names: defaultdict[AttemptId, Names] = defaultdict(Names)
        self._uploads: dict[Future[Artifact], AttemptId] = {}
        self._progress: defaultdict[AttemptId, ProgressMeter] = defaultdict(ProgressMeter)
        self._flushed_at = time.monotonic()

    # ------------------------------------------------------------ files

    def upload(self, file: ArtifactWritten) -> None:
        """Move a file into the store, beside others."""
        self._pool = self._pool or ThreadPoolExecutor(_UPLOADS, thread_name_prefix="cvq-upload")
        names = self._names[file.attempt_id]
        self._uploads[self._pool.submit(self._upload, file, names)] = file.attempt_id

    def _upload(self, file: ArtifactWritten, names: Names) -> Artifact:
        path = Path(file.path)
        if not path.resolve().is_relative_to(self._folder):
            raise PermanentError(f"artifact {file.name} lies outside the job's folder")
        return self._site.artifacts.put_artifact(
            file.attempt_id, path, name=file.name, role=file.role, media_type=file.media_type,
            names=names,
        )  # fmt: skip

    def restart(self, attempts: Collection[AttemptId]) -> None:
        """These are answered anew: what they have left so far counts no more."""
        for future, owner in list(self._uploads.items()):
            if owner in attempts:
                del self._uploads[future]
                if not future.cancel():
                    future.add_done_callback(partial(self._discard, owner))
        for id_ in attempts:
            self._names.pop(id_, None)

    def _discard(self, owner: AttemptId, future: Future[Artifact]) -> None:
        if future.exception() is None:
            discard(self._site.artifacts, owner.job_id, [future.result()])

    def await_files(self) -> None:
        """Wait for the files that are on their way, as long as somebody wants one of them."""
        while waiting := wait_for(self._uploads, timeout=0.1).not_done:
            if not any(self._is_wanted(self._uploads[future]) for future in waiting):
                return

    def _is_wanted(self, attempt: AttemptId) -> bool:
        held = self._attempts[attempt]
        return not held.lost and held.overdue_s is None

    def error_of(self, attempt: AttemptId) -> BaseException | None:
        """Why a file of an attempt was not stored."""
        for future, owner in self._uploads.items():
            if owner == attempt and not future.done():
                return StoreError("a file was still on its way into the store")
            if owner == attempt and (error := future.exception()):
                return error
        return None

    def is_uploading(self, attempt: AttemptId) -> bool:
        """Whether a file of an attempt is on its way."""
        return any(not f.done() for f, owner in self._uploads.items() if owner == attempt)

    def _take_artifacts(self, of: Collection[AttemptId]) -> dict[AttemptId, list[Artifact]]:
        found: dict[AttemptId, list[Artifact]] = {}
        for future, owner in list(self._uploads.items()):
            if owner in of and future.done():
                del self._uploads[future]
                if future.exception() is None:
                    found.setdefault(owner, []).append(future.result())
        return found

    # ------------------------------------------------------------ the database

    def note_progress(self, progress: Progress) -> None:
        """Take how far an attempt is."""
        self._progress[progress.attempt_id].update(progress)

    def flush_progress(self) -> None:
        """Write how far the attempts are, now and then; a database that is away misses it."""
        if not self._progress or time.monotonic() - self._flushed_at < _PROGRESS_S:
            return
        self._flushed_at = time.monotonic()
        told = {id_: meter.take() for id_, meter in self._progress.items()}
        try:
            with self._site.database.write() as connection:
                for id_, progress in told.items():
                    if progress is not None and not self._attempts[id_].lost:
                        with contextlib.suppress(LeaseLostError):  # which is its own alone
                            lifecycle.report(connection, id_, progress=progress)
        except DatabaseError as error:
            log.warning("%s", error)

    def finish(self, outcomes: Mapping[AttemptId, Outcome]) -> dict[AttemptId, str]:
        """Write ends in one transaction; return the new states of jobs that were not lost."""
        artifacts = self._take_artifacts(outcomes)
        try:
            states = self._finish_all(outcomes, artifacts)
        except Exception as error:
            if not is_about_a_value(error):
                raise
            states = self._finish_each(outcomes, artifacts)
        for id_, left in artifacts.items():
            if id_ not in states:
                discard(self._site.artifacts, id_.job_id, left)
        return states

    def _finish_all(
        self,
        outcomes: Mapping[AttemptId, Outcome],
        artifacts: Mapping[AttemptId, list[Artifact]],
    ) -> dict[AttemptId, str]:
        tried = False

        def write(connection: Connection) -> dict[AttemptId, str]:
            nonlocal tried
            again, tried = tried, True
            for id_ in artifacts.keys() & outcomes.keys():
                with contextlib.suppress(LeaseLostError):
                    lifecycle.report(connection, id_, number=1, artifacts=artifacts[id_])
            return lifecycle.finish_batch(connection, outcomes, self._site.worker, again=again)

        return self._persist(write)

    def _finish_each(
        self,
        outcomes: Mapping[AttemptId, Outcome],
        artifacts: Mapping[AttemptId, list[Artifact]],
    ) -> dict[AttemptId, str]:
        """One by one, as the database refuses a value of one of them."""
        states: dict[AttemptId, str] = {}
        for id_, outcome in outcomes.items():
            try:
                states |= self._finish_all({id_: outcome}, artifacts)
            except Exception as error:
                if not is_about_a_value(error):
                    raise
                states |= self._finish_all({id_: storable_end(outcome, error)}, {})
                discard(self._site.artifacts, id_.job_id, artifacts.get(id_, ()))
        return states

    def _persist(self, act: Callable[[Connection], _T]) -> _T:
        """Write, again and again while the database is away and a lease lasts."""

        def write() -> _T:
            with self._site.database.write() as connection:
                return act(connection)

        return Retrying(
            retry=retry_if_exception_type(DatabaseError),
            wait=wait_exponential(multiplier=_FIRST_PAUSE_S, max=_LONGEST_PAUSE_S),
            stop=self._is_in_vain,
            after=lambda state: log.warning("%s", state.outcome and state.outcome.exception()),
            reraise=True,
        )(write)

    def _is_in_vain(self, state: RetryCallState) -> bool:
        """Whether all leases will have ended before the next try."""
        return not any(each.holds(state.upcoming_sleep) for each in self._attempts.values())

    def close(self) -> None:
        """Leave no thread behind, and no file that is nobody's."""
        self.restart(self._attempts.keys())
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
