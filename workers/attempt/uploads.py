"""A job's files on their way into the artifact store."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterable
from pathlib import Path

from cvq.artifacts import ArtifactStore
from cvq.errors import CvqError, PermanentError, StoreError, TemporaryError
from cvq.ids import AttemptId
from cvq.names import Names
from cvq.records import Artifact
from cvq.states import DISPENSABLE, Role

from ..failures import may_pass
from ..protocol import ArtifactWritten
from .reports import Reports

log = logging.getLogger("cvq.worker")


class Uploads:
    """Moves an attempt's files into the store, one after another.

    Args:
        attempt: whose they are.
        folder: the attempt's own; no file outside of it is published.
        reports: take what lies in the store.
        artifacts: the store.
    """

    def __init__(
        self, attempt: AttemptId, folder: Path, reports: Reports, artifacts: ArtifactStore
    ) -> None:
        self.error: CvqError | None = None  # of a file that the job cannot do without
        self._attempt = attempt
        self._folder = folder
        self._reports = reports
        self._artifacts = artifacts
        self._names = Names()
        self._lock = threading.Lock()
        self._given_up = False

    def upload(self, file: ArtifactWritten) -> None:
        """Move a file into the store; what goes wrong is in `error`."""
        path = Path(file.path)
        try:
            if not path.resolve().is_relative_to(self._folder.resolve()):
                raise PermanentError(f"artifact {file.name} lies outside the job's folder")
            artifact = self._artifacts.put_artifact(
                self._attempt,
                path,
                name=file.name,
                role=file.role,
                media_type=file.media_type,
                names=self._names,
            )
            with self._lock:
                if not self._given_up:
                    self._reports.add_artifact(artifact)
                    return
            discard(self._artifacts, self._attempt.job_id, [artifact])  # it ended without it
        except (CvqError, OSError) as error:
            self._fail(file, error)

    def give_up(self) -> None:
        """Forget the files that are still on their way."""
        with self._lock:
            self._given_up = True

    def _fail(self, file: ArtifactWritten, error: CvqError | OSError) -> None:
        # The job is worth more than a preview, or than a checkpoint that follows another.
        if file.role == Role.CHECKPOINT or file.role in DISPENSABLE:
            note = f"{file.name} could not be stored, the job goes on: {error}"
            self._reports.log_to("stderr")(f"WARNING cvq.worker: {note}".encode())
            with contextlib.suppress(OSError):
                Path(file.path).unlink(missing_ok=True)
            return
        kind = TemporaryError if may_pass(error) else PermanentError
        self.error = error if isinstance(error, CvqError) else kind(f"{file.name}: {error}")


def discard(artifacts: ArtifactStore, job_id: int, unwanted: Iterable[Artifact]) -> None:
    """Remove a job's files from the store; one that stays takes room, and nothing else."""
    for artifact in unwanted:
        try:
            artifacts.remove(artifact)
        except StoreError as error:
            log.warning("job %s: %s", job_id, error)
