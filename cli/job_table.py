"""The columns of a list of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cvq.states import State

from . import formats
from .display import Listing
from .output import Column
from .widths import ending, name

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.records import Job
    from cvq.settings import Settings


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


def listing(client: Client) -> Listing[Job]:
    """A list of jobs in every form."""
    return Listing(
        columns=lambda: columns(client.settings, _now(client)),
        shape=lambda jobs: _shapes(client, jobs),
        quiet=lambda job: job.id,
    )


def _now(client: Client) -> datetime:
    from cvq import queries

    with client.db.read() as connection:
        return queries.database_time(connection)


def _shapes(client: Client, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    from cvq.views import shapes

    with client.db.read() as connection:
        return list(shapes.jobs(connection, jobs))
