"""What a model talks to inside a job process: `ctx.progress`, `ctx.artifact` and so on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from cvq.context import base
from cvq.goals import Goal

from ..protocol import ArtifactWritten, Metrics, Progress, Request
from .sockets import JobSockets

# Which fit into one event, each with a name of 100 characters of six bytes.
_METRICS_AT_ONCE = 80


class JobContext(base.BaseContext):
    """The `Context` of a job that runs under a worker."""

    def __init__(self, request: Request, control: JobSockets, goals: Mapping[str, Goal]) -> None:
        super().__init__(
            job_id=request.job_id,
            attempt=request.attempt,
            device=request.device,
            cache=Path(request.cache),
            kind=request.kind,
            spec_hash=request.spec_hash,
            out=Path(request.folder) / "out",
            checkpoint_every=request.checkpoint_every,
            goals=goals,
        )
        self._checkpoint = None if request.checkpoint is None else Path(request.checkpoint)
        self._attempt_id = request.attempt_id
        self._control = control

    def confirm(self) -> None:
        """Wait until all that was reported is stored, and the job is known to be still ours."""
        self._control.confirm()
        self._stop_if_asked()

    def _pass_progress(self, progress: base.Progress) -> None:
        self._control.send(Progress(*self._attempt_id, **progress._asdict()))

    def _pass_metrics(self, step: int, values: dict[str, float]) -> None:
        numbers = list(values.items())
        for start in range(0, len(numbers), _METRICS_AT_ONCE):
            some = dict(numbers[start : start + _METRICS_AT_ONCE])
            self._control.send(Metrics(*self._attempt_id, step, some, time.time()))

    def _publish(self, path: Path, name: str, role: str, media_type: str | None) -> None:
        self._control.send(ArtifactWritten(*self._attempt_id, str(path), name, role, media_type))

    def _saved(self) -> Path | None:
        return self._checkpoint

    @property
    def _is_to_stop(self) -> bool:
        return self._control.stop_requested.is_set()
