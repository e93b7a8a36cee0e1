"""What a client asks of the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from .. import queries
from ..batch_handle import BatchHandle
from ..handle import JobHandle, JobLike, id_of
from ..job_list import JobList
from ..records import Artifact, Job
from ..views import filters, shapes
from .connections import Connections


class Asking(Connections):
    """Jobs by their ids and by what they have in common, and what belongs to them."""

    def job(self, job: JobLike) -> JobHandle:
        """An existing job, as it is now.

        Raises:
            UnknownJobError: there is no such job.
        """
        return self._handle(id_of(job)).refresh()

    def batch(self, number: int) -> BatchHandle:
        """An existing batch.

        Raises:
            UnknownBatchError: there is no such batch.
        """
        return self._batch_handle(number).refresh()

    def jobs(
        self,
        *,
        kind: str | Sequence[str] = (),
        state: str | Sequence[str] = (),
        user: str | Sequence[str] = (),
        batch: int | Sequence[int] = (),
        tag: str | Sequence[str] | Mapping[str, str] = (),
        where: str | Sequence[str] = (),
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        sort: str | None = None,
        limit: int | None = None,
    ) -> JobList:
        """Jobs of the history, the newest first: `jobs(kind="vae", where="val_loss<100")`.

        Args:
            kind: one kind or several, as `state` and `user`.
            state: waiting, queued, running, succeeded, failed or cancelled.
            user: who submitted them.
            batch: the id of a batch that they are of, or of several.
            tag: `key`, `key=value`, several of these, or a dictionary.
            where: conditions on a metric or a number of the result: `val_accuracy>0.9`.
            since: submitted since then; an aware time, or as on the command line: `2d`.
            until: submitted before.
            sort: a column or a figure; with `-` before it, the highest first.
            limit: at most so many.

        Raises:
            UsageError: a condition cannot be read, or a name in it is one that nothing has.
        """
        asked = filters.asked(
            kind=kind,
            state=state,
            user=user,
            batch=batch,
            tag=tag,
            where=where,
            since=since,
            until=until,
            sort=sort,
            limit=limit,
        )
        self.check_filter(asked)
        with self.db.read() as connection:
            found = filters.find(connection, asked)
        return JobList(self._client, (self._handle(job.id, job) for job in found))

    def artifacts_of(self, job: JobLike) -> list[Artifact]:
        """The files that a job has left so far."""
        wanted = id_of(job)
        with self.db.read() as connection:
            return queries.artifacts_of(connection, [wanted])[wanted]

    def to_json(self, job: Job | JobHandle) -> dict[str, Any]:
        """A job in the documented JSON shape."""
        row = job.job if isinstance(job, JobHandle) else job
        return shapes.job(row, self.artifacts_of(row))
