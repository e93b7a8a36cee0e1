"""What a client has open: the database, Redis, the artifact store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Self, cast

from .. import queries
from ..artifacts import ArtifactStore, open_store
from ..batch_handle import BatchHandle
from ..broker.queue import Broker
from ..db import Database
from ..errors import UnknownJobError
from ..handle import JobHandle, JobLike, id_of
from ..history import History
from ..once import lock_of, once
from ..records import Job

if TYPE_CHECKING:
    from . import Client


_CHUNK = 1_000  # jobs that are read at a time


class Connections(History):
    """What all of a client's powers share; several threads may use one."""

    def __repr__(self) -> str:
        return f"<cvq client of {self.settings.user}, {self.settings.home}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give connections back; they are opened again where the client is used again."""
        with lock_of(self):
            opened = [self.__dict__.pop(name, None) for name in ("db", "broker", "artifacts")]
        for each in opened:
            if isinstance(each, Database):
                each.engine.dispose()
            if isinstance(each, Broker):
                each.close()

    @once
    def broker(self) -> Broker:
        """Where workers are notified of new jobs."""
        return Broker(self.settings)

    @once
    def artifacts(self) -> ArtifactStore:
        """The artifact store."""
        return open_store(self.settings)

    def _handle(self, job: JobLike, row: Job | None = None) -> JobHandle:
        """The handle given, or one of one's own, with the row where it was read already."""
        if isinstance(job, JobHandle):
            return job
        return JobHandle(self._client, id_of(job), row)

    def _batch_handle(self, number: int, known_from: Sequence[int] = ()) -> BatchHandle:
        return BatchHandle(self._client, number, known_from)

    def look_at(self, handles: Iterable[JobHandle]) -> None:
        """Look at several jobs again, in few statements.

        Raises:
            UnknownJobError: there is none of such an id.
        """
        by_id: dict[int, list[JobHandle]] = {}
        for handle in handles:
            by_id.setdefault(handle.id, []).append(handle)
        ids = list(by_id)
        for start in range(0, len(ids), _CHUNK):
            some = ids[start : start + _CHUNK]
            with self.db.read() as connection:
                found = {job.id: job for job in queries.get_jobs(connection, some)}
            for job_id in some:
                if job_id not in found:
                    raise UnknownJobError(job_id)
                for handle in by_id[job_id]:
                    handle.take(found[job_id])

    @property
    def _client(self) -> Client:
        """This very client, which has all the powers."""
        return cast("Client", self)


def several(given: JobLike | Iterable[JobLike]) -> Iterable[JobLike]:
    """One job as a list of one."""
    return [given] if isinstance(given, int | Job | JobHandle) else given
