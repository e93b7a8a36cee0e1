"""What the attempts of a micro-batch leave in the store and the database."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from cvq import tables as t
from cvq.db_errors import is_about_a_value
from cvq.errors import DatabaseError, LeaseLostError, PermanentError, StoreError
from cvq.ids import AttemptId
from cvq.lifecycle import attempts as lifecycle
from cvq.lifecycle.leases import lock
from cvq.lifecycle.lines import add_lines
from cvq.names import Names
from cvq.records import Artifact, EncodedJson, Outcome

from .. import results
from ..attempt.attempt import Attempt
from ..attempt.execution import Site
from ..attempt.leased import LeasedDatabase
from ..attempt.outcome import failure_of
from ..attempt.progress import ProgressMeter
from ..attempt.record import storable_end
from ..attempt.uploads import discard
from ..protocol import ArtifactWritten, Progress
from .transcript import Transcript

log = logging.getLogger("cvq.worker")

_UPLOADS = 4  # threads
_FLUSH_S = 0.5
_T = TypeVar("_T")
_MOST_HELD = 32_000_000  # characters of results that are read from files at a time
_LARGE = 500_000  # characters of a result that is written by itself


class Books:
    """Keeps what was left, and writes it under the leases of the attempts.

    Args:
        site: the store, the database and who writes.
        attempts: the attempts of a micro-batch.
        folder: theirs; no file outside of it is published.
        transcript: what is said while they are answered.
    """

    def __init__(
        self,
        site: Site,
        attempts: Mapping[AttemptId, Attempt],
        folder: Path,
        transcript: Transcript,
    ) -> None:
        self._site = site
        self._transcript = transcript
        self._db = LeasedDatabase(site.database, attempts.values(), patience=site.settings.lease)
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

    def read(self, query: Callable[[Connection], _T]) -> _T:
        """Ask the database, again and again while it is away and a lease lasts."""
        return self._db.read(query)

    def note_progress(self, progress: Progress) -> None:
        """Take how far an attempt is."""
        self._progress[progress.attempt_id].update(progress)

    def flush(self) -> None:
        """Write how far the attempts are, and what was said, now and then.

        A database that is away misses the former.
        """
        if time.monotonic() - self._flushed_at < _FLUSH_S:
            return
        self._flushed_at = time.monotonic()
        told = {id_: meter.take() for id_, meter in self._progress.items()}
        lines = self._transcript.waiting(self._attempts)
        if not lines and not any(told.values()):
            return
        try:
            with self._site.database.write() as connection:
                _lock(connection, {*lines, *told})
                add_lines(connection, lines)
                for id_, progress in told.items():
                    if progress is not None and not self._attempts[id_].lost:
                        with contextlib.suppress(LeaseLostError):  # which is its own alone
                            lifecycle.report(connection, id_, progress=progress)
        except DatabaseError as error:
            log.warning("%s", error)
        else:
            self._transcript.written(lines)

    def parts(self, outcomes: Mapping[AttemptId, Outcome]) -> Iterator[dict[AttemptId, Outcome]]:
        """The ends with their results, as many at a time as memory should hold."""
        part: dict[AttemptId, Outcome] = {}
        held = 0
        for id_, outcome in outcomes.items():
            end, size = _opened(outcome)
            if size > _LARGE:
                yield {id_: end}
                continue
            part[id_] = end
            held += size
            if held > _MOST_HELD:
                yield part
                part, held = {}, 0
        if part:
            yield part

    def finish(self, outcomes: Mapping[AttemptId, Outcome]) -> dict[AttemptId, str]:
        """Write ends in one transaction; return the new states of jobs that were not lost."""
        artifacts = self._take_artifacts(outcomes)
        self._transcript.close(outcomes)
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
        lines = self._transcript.waiting(outcomes)

        def write(connection: Connection) -> dict[AttemptId, str]:
            nonlocal tried
            again, tried = tried, True
            if len(outcomes) > 1:  # a large result is sent before its job is locked
                _lock(connection, outcomes)
            add_lines(connection, lines)
            for id_ in artifacts.keys() & outcomes.keys():
                with contextlib.suppress(LeaseLostError):
                    lifecycle.report(connection, id_, number=1, artifacts=artifacts[id_])
            return self._end(connection, outcomes, again=again)

        states = self._db.write(write)
        self._transcript.written(lines)
        return states

    def _end(
        self, connection: Connection, outcomes: Mapping[AttemptId, Outcome], *, again: bool
    ) -> dict[AttemptId, str]:
        by = self._site.worker
        if len(outcomes) > 1 or not any(map(_is_large, outcomes.values())):
            return lifecycle.finish_batch(connection, outcomes, by, again=again)
        [(id_, outcome)] = outcomes.items()
        try:  # which brings it to the server piece by piece
            return {id_: lifecycle.finish(connection, id_, outcome, by, again=again)}
        except LeaseLostError:
            return {}

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

    def close(self) -> None:
        """Leave no thread behind, and no file that is nobody's."""
        self.restart(self._attempts.keys())
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _lock(connection: Connection, attempts: Collection[AttemptId]) -> None:
    """Lock the jobs of a transaction at once, in the order in which everybody does.

    One after the other, as each has something to be written, two transactions would wait for
    each other's.
    """
    lock(connection, attempts, t.jobs.c.id, t.jobs.c.attempt)


def _is_large(outcome: Outcome) -> bool:
    return isinstance(outcome.result, EncodedJson) and len(outcome.result.text) > _LARGE


def _opened(outcome: Outcome) -> tuple[Outcome, int]:
    """An end with its result read, where that lies in a file, and how large that is."""
    if not isinstance(outcome.result, results.Filed):
        return outcome, 0
    try:
        found = outcome.result.read()
    except (PermanentError, OSError) as error:
        return failure_of(error), 0
    return replace(outcome, result=found), len(found.text)
