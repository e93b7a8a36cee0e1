"""A batch as a notebook shows it."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from . import cells
from .jobs import jobs_html

if TYPE_CHECKING:
    from ..batch import Batch
    from ..batch_handle import BatchHandle


def batch_html(handle: BatchHandle) -> str:
    """A batch: how far it is, and a table of its first jobs."""
    batch = handle.batch
    rows = [
        ("name", cells.cell(batch.name)),
        ("items", cells.cell(_items(batch))),
        ("jobs", cells.cell(f"{batch.done} of {batch.jobs} done")),
        ("states", cells.states(batch.states)),
    ]
    first = list(islice(handle.jobs, cells.MOST_ROWS))
    title = f"<b>Batch {batch.id}</b> {cells.cell(batch.kind)} {cells.state(batch.state)}"
    table = jobs_html(first, batch.jobs) if first else ""
    return f"<div><div>{title}</div>{cells.pairs(rows)}{table}</div>"


def _items(batch: Batch) -> str:
    known = f", {batch.known} of them known already" if batch.known else ""
    return f"{batch.items}{known}"
