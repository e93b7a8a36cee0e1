"""Jobs that are being watched: those that run and wait, and those that have ended meanwhile."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection

from .. import queries
from ..records import Job
from ..states import State
from . import filters
from .filters import Filter

_COUNTED = 10_000  # of more jobs it is not said how many there are
_WAITING = (State.QUEUED, State.WAITING)


@dataclass(frozen=True)
class LiveJob:
    """A job with the most memory that its attempt was seen to hold, in bytes."""

    job: Job
    memory: int | None


@dataclass(frozen=True)
class LiveLook:
    """What there is to see at one moment.

    Attributes:
        now: the database's clock.
        jobs: those that run, in the order of their starts; those that wait; those that have ended.
        running, waiting: how many there are, shown or not; no more than 10,000 are counted.
    """

    now: datetime
    jobs: list[LiveJob]
    running: int
    waiting: int

    @property
    def over(self) -> bool:
        """Whether all have ended."""
        return not self.running and not self.waiting


@dataclass
class Watched:
    """Looks at some jobs again and again, and remembers which it has seen.

    Args:
        scope: which jobs; those of one user, say. States, order and limit are not asked.
        keeps_ended: show those, too, that had ended before the first look.
    """

    scope: Filter
    keeps_ended: bool = False
    _seen: dict[int, None] = field(default_factory=dict)

    def look(self, connection: Connection, most: int) -> LiveLook:
        """What there is now: at most so many jobs, those that run first."""
        running = self._find(connection, [State.RUNNING], "started_at", most)
        waiting = self._find(connection, _WAITING, "id", most - len(running))
        open_ids = {job.id for job in (*running, *waiting)}
        ended = self._ended(connection, open_ids, most)[: most - len(open_ids)]
        self._seen.update(dict.fromkeys(open_ids))
        held = queries.last_attempts_of(connection, [*running, *ended])
        return LiveLook(
            now=queries.database_time(connection),
            jobs=[
                LiveJob(job, held[job.id].peak_memory if job.id in held else None)
                for job in (*running, *waiting, *ended)
            ],
            running=self._count(connection, [State.RUNNING], running, most),
            waiting=self._count(connection, _WAITING, waiting, most - len(running)),
        )

    def states(self, connection: Connection) -> set[str]:
        """The states of the jobs whose ids are asked for."""
        return {job.state for job in queries.get_jobs(connection, self.scope.ids)}

    def _find(
        self, connection: Connection, states: Collection[str], order: str, most: int
    ) -> list[Job]:
        if most <= 0:
            return []
        wanted = replace(self.scope, states=list(states), sort=order, limit=most)
        return filters.find(connection, wanted)

    def _count(
        self, connection: Connection, states: Collection[str], found: list[Job], most: int
    ) -> int:
        """How many there are; those that were found, where there was room for more."""
        if len(found) < most:
            return len(found)
        return filters.count(connection, replace(self.scope, states=list(states)), _COUNTED)

    def _ended(self, connection: Connection, open_ids: Collection[int], most: int) -> list[Job]:
        """Those that have ended, of which there was something to see; the last to end first.

        Of those that ended long ago, so that others stand before them, nothing is kept.
        """
        ids = list(self.scope.ids) if self.keeps_ended else list(self._seen)
        gone = queries.get_jobs(connection, [each for each in ids if each not in open_ids])
        ended = [job for job in gone if job.finished and job.finished_at is not None]
        ended.sort(key=lambda job: (job.finished_at, job.id), reverse=True)
        not_yet = [job for job in gone if not job.finished]
        self._seen = dict.fromkeys(job.id for job in (*not_yet, *ended[:most]))
        return ended[:most]
