"""The jobs that have ended since one has begun to look, each once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, select, tuple_

from .. import queries
from .. import tables as t

_OVERLAP = timedelta(seconds=60)  # for which an end may be under way: written, not yet committed
_PAGE = 5_000
_MOST = 100_000  # jobs of one look: the next goes on


class Ended(NamedTuple):
    """A job that has ended; times in seconds, None where it has not been so far."""

    id: int
    queue: str
    kind: str
    state: str
    reason: str | None
    waited: float | None
    ran: float | None


class Followed:
    """Reads the ends of jobs by the index of their times, a piece of the history at a time."""

    def __init__(self) -> None:
        self._since: datetime | None = None
        self._seen: dict[tuple[int, datetime], None] = {}

    def look(self, connection: Connection) -> list[Ended]:
        """The jobs that have ended since the last look; at the first none."""
        now = queries.database_time(connection)
        if self._since is None:
            self._since = now
        found, last, behind = [], self._since, False
        for row in self._rows(connection, self._since):
            last = row.finished_at
            key = (row.id, row.finished_at)
            if key not in self._seen:
                self._seen[key] = None
                found.append(_ended(row))
            behind = len(found) >= _MOST
            if behind:
                break
        # Where there is more to read, what lies behind is settled.
        self._since = last if behind else max(self._since, now - _OVERLAP)
        self._seen = {key: None for key in self._seen if key[1] >= self._since}
        return found

    @staticmethod
    def _rows(connection: Connection, since: datetime) -> Iterator[Any]:
        jobs = t.jobs.c
        columns = (
            jobs.id, jobs.queue, jobs.kind, jobs.state, jobs.reason,
            jobs.queued_at, jobs.started_at, jobs.finished_at,
        )  # fmt: skip
        after = jobs.finished_at >= since
        while True:
            page = connection.execute(
                select(*columns).where(after).order_by(jobs.finished_at, jobs.id).limit(_PAGE)
            ).all()
            yield from page
            if len(page) < _PAGE:
                return
            last = page[-1]
            after = (jobs.finished_at >= last.finished_at) & (
                tuple_(jobs.finished_at, jobs.id) > tuple_(last.finished_at, last.id)
            )


def _ended(row: Any) -> Ended:
    queued, started, finished = row.queued_at, row.started_at, row.finished_at
    return Ended(
        row.id, row.queue, row.kind, row.state, row.reason,
        waited=_seconds(queued, started), ran=_seconds(started, finished),
    )  # fmt: skip


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else max(0.0, (end - start).total_seconds())
