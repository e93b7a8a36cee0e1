"""All that the database has of one job, read at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from .. import queries
from ..batch import Batch
from ..lifecycle import order
from ..records import Artifact, Attempt, Event, Job
from ..settings import Settings
from ..states import State
from .curves import Curve
from .declared import headline_names
from .links import Links, links_of
from .outlines import outlines_of
from .timeline import Moment, timeline


@dataclass(frozen=True)
class JobDetails:
    """A job and what belongs to it.

    Attributes:
        now: the database's clock when it was read.
        parents: the jobs that it waits for, or waited for.
        batch: what it was submitted in, where it was not submitted alone.
        ahead: how many jobs of its queue are claimed before it; None where it is not queued.
        curves: some points of each metric, and the figures of all.
        events: what happened to it, in order.
        links: the other jobs that it has to do with.
    """

    job: Job
    now: datetime
    attempts: list[Attempt]
    parents: list[Job]
    batch: Batch | None
    ahead: int | None
    curves: list[Curve]
    artifacts: list[Artifact]
    events: Sequence[Event]
    links: Links

    @property
    def timeline(self) -> list[Moment]:
        """What happened to it, with how long that took."""
        return timeline(self.job, self.attempts, self.events, self.now)


def details_of(connection: Connection, settings: Settings, job_id: int) -> JobDetails:
    """Read a job with all that belongs to it.

    Raises:
        UnknownJobError: there is no such job.
    """
    job = queries.get_job(connection, job_id)
    return JobDetails(
        job=job,
        now=queries.database_time(connection),
        attempts=queries.attempts_of(connection, job_id),
        parents=queries.parents_of(connection, job_id),
        batch=None if job.batch is None else queries.get_batch(connection, job.batch),
        ahead=order.ahead_of(connection, job) if job.state == State.QUEUED else None,
        curves=outlines_of(connection, job_id, headline=headline_names(settings, job)),
        artifacts=queries.artifacts_of(connection, [job_id])[job_id],
        events=queries.events_of(connection, job_id),
        links=links_of(connection, job),
    )
