"""The columns of a list of batches."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cvq.states import State

from . import formats
from .display import Listing
from .output import Column, note
from .widths import ending, name

if TYPE_CHECKING:
    from cvq.batch import Batch
    from cvq.client import Client


def title(batch: Batch) -> str:
    """What a batch is called: its name, or how many items it has."""
    return formats.clean(batch.name or formats.count(batch.items, "item"))


def columns(now: datetime) -> list[Column[Batch]]:
    """What `cvq batches` shows of a batch."""
    from cvq.views.shapes import iso

    def counted(state: str) -> Column[Batch]:
        return Column(
            state,
            lambda batch: str(batch.states.get(state, "")),
            lambda batch: batch.states.get(state, 0),
            right=True,
            rank=2 if state == State.CANCELLED else 1,
        )

    return [
        Column("id", lambda batch: str(batch.id), lambda batch: batch.id, right=True),
        Column(
            "state",
            lambda batch: batch.state,
            style=lambda batch: formats.STATE_STYLES[batch.state],
        ),
        Column("kind", lambda batch: formats.clean(batch.kind), rank=4, least=10, short=ending),
        Column("name", title, lambda batch: batch.name or "", rank=5, least=8, short=name),
        Column("user", lambda batch: formats.clean(batch.user), rank=7, least=8, short=ending),
        Column(
            "age",
            lambda batch: formats.age(batch.created_at, now),
            lambda batch: iso(batch.created_at),
            "created_at",
            right=True,
            rank=6,
        ),
        Column(
            "known",
            lambda batch: str(batch.known or ""),
            lambda batch: batch.known,
            right=True,
            rank=3,
        ),
        Column("jobs", lambda batch: str(batch.jobs), lambda batch: batch.jobs, right=True),
        Column("done", lambda batch: str(batch.done), lambda batch: batch.done, right=True),
        counted(State.FAILED),
        counted(State.CANCELLED),
    ]


def short_columns(now: datetime) -> list[Column[Batch]]:
    """What `cvq status` shows of one."""
    first, *rest = columns(now)
    dropped = ("user", "age", State.CANCELLED)
    return [replace(first, name="batch"), *(one for one in rest if one.name not in dropped)]


def tell_unfinished(batch: Batch) -> None:
    """Say that what is printed of a batch is not all, where it has not ended."""
    if not batch.finished:
        left = batch.jobs - batch.done
        note(f"{formats.count(left, 'job')} of batch {batch.id} {'has' if left == 1 else 'have'} "
             "not ended yet")  # fmt: skip


def shape(batch: Batch) -> dict[str, Any]:
    """A batch as JSON."""
    from cvq.views import shapes

    return shapes.batch(batch)


def listing(client: Client) -> Listing[Batch]:
    """A list of batches in every form."""
    from cvq import queries

    def now() -> datetime:
        with client.db.read() as connection:
            return queries.database_time(connection)

    return Listing(
        columns=lambda: columns(now()),
        shape=lambda batches: map(shape, batches),
        quiet=lambda batch: batch.id,
        empty="no batches: `cvq submit KIND FOLDER` makes one of a folder's files",
    )
