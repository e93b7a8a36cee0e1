"""What a model sees of the batch system: progress, metrics, artifacts. Nothing else."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class Context(Protocol):
    """The handle that `run(spec, ctx)` receives.

    Attributes:
        job_id: the job's number; 0 outside the batch system.
        device: `cuda`, `mps` or `cpu`: where the job is to compute.
        device_index: always 0 on CUDA: a job sees only the GPU that it was given.
    """

    job_id: int
    device: str

    def progress(self, done: int, total: int, unit: str = "step") -> None:
        """Say that `done` of `total` units are done. Cheap: call it at every step."""

    def metrics(self, step: int, **values: float) -> None:
        """Record named numbers at a step. Cheap: call it at every step."""

    def artifact(
        self, name: str, *, role: str = "result", media_type: str | None = None
    ) -> AbstractContextManager[Path]:
        """Give a path to write; when the block ends without an error, the file is published.

        Args:
            name: the file's name among the job's artifacts, for example `picture.png`.
            role: `result`, `preview`, `checkpoint`, `plot` or another short word.
            media_type: guessed from the name when not given.
        """
