"""The columns of a list of jobs, in which a batch may stand for its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cvq.states import State

from . import batch_table, formats
from .display import Listing
from .output import Column
from .widths import ending, name

if TYPE_CHECKING:
    from cvq.batch import Batch
    from cvq.history import History
    from cvq.records import Job
    from cvq.settings import Settings
    from cvq.views.folded import Row


# States of a batch's jobs that its number of those done does not tell.
_TOLD = (State.RUNNING, State.FAILED, State.CANCELLED)


def columns(settings: Settings, now: datetime) -> list[Column[Job]]:
    """What `cvq ls` shows of a job; CSV has exact times, seconds and all metrics' names."""
    from cvq.views.declared import headline_names
    from cvq.views.shapes import iso

    def headline(job: Job) -> str:
        return formats.headline(job, headline_names(settings, job))

    return [
        Column("id", lambda job: str(job.id), lambda job: job.id, right=True),
        Column(
            "state",
            formats.outcome,
            lambda job: job.state,
            style=lambda job: formats.STATE_STYLES[job.state],
            least=9,
            after=3,
            short=formats.state,
        ),
        Column("kind", lambda job: job.kind, rank=2, least=10, after=4, short=ending),
        Column("name", formats.title, rank=3, least=12, short=name),
        Column("user", lambda job: job.user, rank=6, least=8, short=ending),
        Column(
            "age",
            lambda job: formats.age(job.created_at, now),
            lambda job: iso(job.created_at),
            "created_at",
            right=True,
            rank=5,
        ),
        Column(
            "time",
            lambda job: formats.duration(job.seconds(now)),
            lambda job: job.seconds(now),
            "seconds",
            right=True,
            rank=4,
        ),
        Column(
            "progress", _progress, _done, right=True, rank=1, least=8, after=5, short=formats.done
        ),
        Column("headline", headline, least=8, after=0, short=formats.figure),
    ]


def _progress(job: Job) -> str:
    return formats.progress(job) if job.state == State.RUNNING else ""


def _done(job: Job) -> float | None:
    at = job.progress or {}
    return at["done"] / at["total"] if at.get("total") else None


def listing(client: History) -> Listing[Job]:
    """A list of jobs in every form."""
    return Listing(
        columns=lambda: columns(client.settings, _now(client)),
        shape=lambda jobs: _shapes(client, jobs),
        quiet=lambda job: job.id,
    )


def folded(client: History) -> Listing[Row]:
    """A list of jobs and batches, for people."""
    return Listing(
        columns=lambda: folded_columns(client.settings, _now(client)),
        shape=lambda rows: [],
        quiet=lambda row: row.id,
    )


def folded_columns(settings: Settings, now: datetime) -> list[Column[Row]]:
    """The same columns, in which a batch has what there is to say of all its jobs."""
    of_batch: Mapping[str, Callable[[Batch], str]] = {
        "id": lambda batch: f"batch {batch.id}",
        "state": lambda batch: batch.state,
        "kind": lambda batch: formats.clean(batch.kind),
        "name": batch_table.title,
        "user": lambda batch: formats.clean(batch.user),
        "age": lambda batch: formats.age(batch.created_at, now),
        "progress": lambda batch: (
            f"{batch.done}/{batch.jobs}" if batch.jobs and _is_whole(batch) else ""
        ),
        "headline": _told,
    }
    return [_either(column, of_batch.get(column.name)) for column in columns(settings, now)]


def _either(column: Column[Job], of_batch: Callable[[Batch], str] | None) -> Column[Row]:
    from cvq.batch import Batch

    def text(row: Row) -> str:
        if isinstance(row, Batch):
            return "" if of_batch is None else of_batch(row)
        return column.text(row)

    style = None if column.style is None else (lambda row: formats.STATE_STYLES[row.state])
    return replace(column, text=text, raw=None, style=style)  # type: ignore[return-value]


def _is_whole(batch: Batch) -> bool:
    """Whether all its jobs are meant, and not some that a filter has found."""
    return sum(batch.states.values()) >= batch.jobs


def _told(batch: Batch) -> str:
    if not _is_whole(batch):
        return f"{sum(batch.states.values())} of {formats.count(batch.jobs, 'job')}"
    told = {state: number for state, number in batch.states.items() if state in _TOLD}
    known = [f"{formats.count(batch.known, 'item')} known"] if batch.known else []
    return ", ".join([*([formats.states(told)] if told else []), *known])


def _now(client: History) -> datetime:
    from cvq import queries

    with client.db.read() as connection:
        return queries.database_time(connection)


def _shapes(client: History, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    from cvq.views import shapes

    with client.db.read() as connection:
        return list(shapes.jobs(connection, jobs))
