"""What a process says about an attempt, each message to where it belongs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .. import results
from ..protocol import (
    ArtifactWritten,
    Begun,
    Confirm,
    Confirmed,
    Error,
    Event,
    Metrics,
    Progress,
    Result,
    Stopped,
)
from .attempt import Attempt
from .reports import Reports
from .storing import Storing


class Receiver:
    """Passes on what is to be stored, and keeps how the work has ended.

    Attributes:
        result: of the job, a large one read from its file.
        error: why it has failed.
        stopped: whether it has stopped as it was asked.
    """

    def __init__(self, attempt: Attempt, reports: Reports, storing: Storing, folder: Path) -> None:
        self.result: Result | None = None
        self.error: Error | None = None
        self.stopped = False
        self._attempt = attempt
        self._reports = reports
        self._storing = storing
        self._folder = folder

    @property
    def has_end(self) -> bool:
        """Whether the process has said how its work has ended."""
        return self.stopped or self.result is not None or self.error is not None

    def receive(self, message: Event | Begun) -> None:
        """Take one message.

        Raises:
            PermanentError: what lies where a large result should is none.
        """
        match message:
            case Begun():
                self._attempt.begin()
            case Progress():
                self._reports.add_progress(message)
            case Metrics():
                self._reports.add_metrics(message)
            case ArtifactWritten():
                self._storing.upload(message)
            case Confirm():
                self._storing.confirm(lambda: self._attempt.tell(Confirmed(*self._attempt.id)))
            case Result():
                value = results.read(self._folder) if message.in_file else message.value
                self.result = replace(message, value=value)
            case Error():
                self.error = message
            case Stopped():
                self.stopped = True
