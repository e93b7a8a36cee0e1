"""What an explanation is made from, and what it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from sqlalchemy import Connection

from .. import queries
from ..lifecycle.events import CANCEL_REQUESTED
from ..records import Attempt, Event, Job, Worker


class Diagnosis(NamedTuple):
    """Sentences about a job, and lines of what to do about it."""

    sentences: Sequence[str]
    advice: Sequence[str]


NOTHING = Diagnosis((), ())


@dataclass(frozen=True)
class Snapshot:
    """A job at a moment of the database's clock; the rest is read when it is asked for.

    Attributes:
        connection: reads only.
        redis: what is wrong with Redis, where the caller has asked.
    """

    connection: Connection
    job: Job
    now: datetime
    redis: str | None = None

    @cached_property
    def attempts(self) -> list[Attempt]:
        """The job's attempts in order."""
        return queries.attempts_of(self.connection, self.job.id)

    @cached_property
    def workers(self) -> list[Worker]:
        """All workers that have not left."""
        return queries.workers(self.connection)

    @cached_property
    def cancel_request(self) -> Event | None:
        """The event of the first who asked to cancel the job."""
        return next((event for event in self.events if event.what == CANCEL_REQUESTED), None)

    @cached_property
    def events(self) -> list[Event]:
        """What has happened to the job, in order."""
        return queries.events_of(self.connection, self.job.id)
