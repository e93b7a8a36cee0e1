"""What a job says, until it is stored: lines, numbers, files and its progress."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

from cvq.records import Artifact, LogLine, MetricPoint

from ..protocol import Metrics, Progress
from .progress import ProgressMeter

_FULL = 4_000_000  # bytes that may wait to be stored, before the job is made to wait
_EACH = 100  # bytes of a line or number besides its text
# In one transaction, which locks the job's row: lines and numbers, and bytes of lines.
_AT_ONCE, _BYTES_AT_ONCE = 2_000, 400_000


@dataclass(frozen=True)
class Report:
    """What is stored in one transaction; `more` is whether lines or numbers are left."""

    logs: list[LogLine]
    metrics: list[MetricPoint]
    artifacts: list[Artifact]
    progress: dict[str, Any] | None
    more: bool

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it."""
        return not (self.logs or self.metrics or self.artifacts or self.progress)


class Reports:
    """Collects what comes in from any thread, and gives it out in pieces that hold nobody up."""

    def __init__(self) -> None:
        self._progress = ProgressMeter()
        self._logs: list[LogLine] = []
        self._metrics: list[MetricPoint] = []
        self._artifacts: list[Artifact] = []
        self._waiting = 0  # bytes of lines and numbers that are not stored yet
        self._seq = 0
        self._lock = threading.Lock()

    @property
    def full(self) -> bool:
        """Whether so much waits to be stored that the job must wait, too."""
        return self._waiting > _FULL

    def log_to(self, stream: str) -> Callable[[bytes], None]:
        """What takes the lines of a stream."""

        def add(line: bytes) -> None:
            with self._lock:
                self._seq += 1
                self._logs.append(LogLine(self._seq, datetime.now(UTC), stream, text_of(line)))
                self._waiting += len(line) + _EACH

        return add

    def add_progress(self, progress: Progress) -> None:
        """Take how far the job is."""
        self._progress.update(progress)

    def add_metrics(self, metrics: Metrics) -> None:
        """Take named numbers of a step."""
        when = datetime.fromtimestamp(metrics.time, UTC)
        points = [
            MetricPoint(name, metrics.step, value, when) for name, value in metrics.values.items()
        ]
        with self._lock:
            self._metrics += points
            self._waiting += len(points) * _EACH

    def add_artifact(self, artifact: Artifact) -> None:
        """Take a file that lies in the store."""
        with self._lock:
            self._artifacts.append(artifact)

    def take(self) -> Report:
        """What one transaction may store."""
        with self._lock:
            sizes = accumulate(len(line.text) + _EACH for line in self._logs[:_AT_ONCE])
            count = max(1, sum(size <= _BYTES_AT_ONCE for size in sizes))
            logs, self._logs = self._logs[:count], self._logs[count:]
            metrics, self._metrics = self._metrics[:_AT_ONCE], self._metrics[_AT_ONCE:]
            artifacts, self._artifacts = self._artifacts, []
            more = bool(self._logs or self._metrics)
            taken = sum(len(line.text) + _EACH for line in logs) + len(metrics) * _EACH
            # Characters are not bytes: what is left is reckoned anew when all is taken.
            self._waiting = self._waiting - taken if more else 0
            return Report(logs, metrics, artifacts, self._progress.take(), more)


def text_of(line: bytes) -> str:
    """What is stored of a line of output."""
    # A terminal shows what follows the last carriage return; Postgres takes no NUL.
    shown = line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]
    return shown.replace("\x00", "\ufffd")
