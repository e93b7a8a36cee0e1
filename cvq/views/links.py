"""The other jobs that a job has to do with: whose work it shares, what it was made from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from .. import tables as t
from ..records import Job

_MOST = 50  # of one sort


@dataclass(frozen=True)
class Links:
    """Ids of jobs, the oldest first, and no more than 50 of a sort.

    Attributes:
        made_from: the job that it is a rerun of.
        made_again: those that were made from it.
        twin_of: the job whose result it shares, or waits for.
        twins: those that share its own.
        awaited_by: those that were submitted to run after it, or with its model.
        sweep, batch: what it is a part of.
    """

    made_from: int | None
    made_again: list[int]
    twin_of: int | None
    twins: list[int]
    awaited_by: list[int]
    sweep: int | None
    batch: int | None

    def to_json(self) -> dict[str, Any]:
        """The documented shape."""
        return asdict(self)


def links_of(connection: Connection, job: Job) -> Links:
    """Look for them; each sort has an index."""
    jobs, links = t.jobs.c, t.dependencies.c

    def ids(column: ColumnElement[int], condition: ColumnElement[bool]) -> list[int]:
        query = select(column).where(condition).order_by(column).limit(_MOST)
        return list(connection.scalars(query))

    return Links(
        made_from=job.made_from,
        made_again=ids(jobs.id, jobs.made_from == job.id),
        twin_of=job.twin_of,
        twins=ids(jobs.id, jobs.twin_of == job.id),
        awaited_by=ids(links.job_id, links.parent_id == job.id),
        sweep=job.sweep,
        batch=job.batch,
    )
