"""The models that other jobs have left, brought to this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from cvq import queries
from cvq.artifacts import ArtifactStore
from cvq.errors import PermanentError
from cvq.inputs.models import ModelFile


class TrainedModels:
    """Finds the models of jobs, and brings them here.

    Args:
        read: asks the database.
        artifacts: the store.
        folder: for those that do not lie on this machine.
    """

    def __init__(
        self,
        read: Callable[[Callable[[Connection], Any]], Any],
        artifacts: ArtifactStore,
        folder: Path,
    ) -> None:
        self._read, self._artifacts, self._folder = read, artifacts, folder

    def bring(self, file: ModelFile) -> tuple[Path, list[str]]:
        """The path of a model, and what its job says is wrong with it.

        Raises:
            PermanentError: the job has left none.
            StoreError: it is not in the store, or damaged.
        """
        job = file.job
        found = None if job is None else self._read(lambda known: queries.model_of(known, job))
        if job is None or found is None:
            raise PermanentError(f"job {job} left no model")
        # Every training calls its model the same, and a job may use several.
        path = self._artifacts.fetch_readable(found, self._folder / str(job))
        return path, self._read(lambda known: queries.get_job(known, job).warnings)
