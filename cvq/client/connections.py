"""What a client has open: the database, Redis, the artifact store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Self, cast

from ..artifacts import ArtifactStore, open_store
from ..batch_handle import BatchHandle
from ..broker.queue import Broker
from ..db import Database
from ..handle import JobHandle, JobLike, id_of
from ..history import History
from ..records import Job

if TYPE_CHECKING:
    from . import Client


class Connections(History):
    """What all of a client's powers share."""

    def __repr__(self) -> str:
        return f"<cvq client of {self.settings.user}, {self.settings.home}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give connections back; they are opened again where the client is used again."""
        if isinstance(database := self.__dict__.pop("db", None), Database):
            database.engine.dispose()
        if isinstance(broker := self.__dict__.pop("broker", None), Broker):
            broker.close()
        self.__dict__.pop("artifacts", None)

    @cached_property
    def broker(self) -> Broker:
        """Where workers are notified of new jobs."""
        return Broker(self.settings)

    @cached_property
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

    @property
    def _client(self) -> Client:
        """This very client, which has all the powers."""
        return cast("Client", self)


def several(given: JobLike | Iterable[JobLike]) -> Iterable[JobLike]:
    """One job as a list of one."""
    return [given] if isinstance(given, int | Job | JobHandle) else given
