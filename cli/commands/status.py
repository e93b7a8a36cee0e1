"""`cvq status`: everything on one screen."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from .. import batch_table, formats, options
from ..display import display
from ..output import Column, console, on_terminal, plain_table, say_each, table
from ..widths import ending, name, plain_blanks, terminal_width, whole, wrap
from . import worker

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cvq.batch import Batch
    from cvq.records import Job
    from cvq.views.status import Look, Queue


@click.command(epilog="\b\nExamples:\n  cvq status\n  cvq status -w\n  cvq status --json")
@options.as_json
@options.watching
def status(watch: bool) -> None:
    """Show queues, workers and running jobs at a glance.

    QUEUED counts the jobs that are queued in the database. IN REDIS counts the messages that wait
    there to wake a worker: a worker that wakes takes every job it finds, and finds jobs without a
    message, too, so the two numbers may differ. RUNNING lists jobs that are of no batch; a batch
    has one line until it has ended.
    """
    from cvq.client import Client
    from cvq.views import shapes
    from cvq.views.status import look

    from ..live import repeat

    client = Client()

    def tell(seen: Look) -> None:
        display(seen, json=shapes.status, text=_show, ongoing=watch)

    def now() -> Look:
        return look(client.db, client.broker, client.settings)

    if watch:
        repeat(now, _draw, tell)
    tell(now())


def _show(seen: Look) -> None:
    if on_terminal():
        console().print(_draw(seen), soft_wrap=True)
    else:
        say_each(_lines(seen))


def _head(seen: Look) -> list[tuple[str, str]]:
    jobs = "  ".join(f"{count} {state}" for state, count in seen.states.items() if count)
    redis = seen.redis + (" (starts when needed)" if seen.redis == "stopped" else "")
    return [*seen.places.items(), ("redis", redis), ("jobs", jobs or "none")]


def _tables(seen: Look) -> list[tuple[list[Column[Any]], list[Any], str]]:
    """Columns and rows of each table; and what is said instead of an empty one."""
    return [
        (_queue_columns(), list(seen.queues.items()), ""),
        (worker.columns(), seen.workers, worker.NO_WORKERS),
        (_running_columns(), seen.running, ""),
        (_batch_columns(), seen.batches, ""),
    ]


def _draw(seen: Look) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    head = Text()
    for label, value in _head(seen):
        line = f"{label:<10}{formats.clean(whole(value) if label in seen.places else value)}"
        line = plain_blanks(wrap(line, terminal_width(), 10))
        head.append(line[:10], "bold").append(f"{line[10:]}\n")
    parts: list[RenderableType] = [head]
    for columns, rows, empty in _tables(seen):
        if rows:
            parts += [table(columns, rows), ""]
        elif empty:
            parts += [Text(empty, "yellow"), ""]
    return Group(*parts[:-1])


def _lines(seen: Look) -> list[str]:
    lines = [f"{name:<10}{formats.clean(value)}" for name, value in _head(seen)]
    for columns, rows, empty in _tables(seen):
        if rows:
            lines += ["", *plain_table(columns, rows)]
        elif empty:
            lines += ["", empty]
    return lines


def _queue_columns() -> list[Column[tuple[str, Queue]]]:
    return [
        Column("queue", lambda item: item[0], least=12),
        Column("queued", lambda item: str(item[1].queued), right=True),
        Column(
            "in redis",
            lambda item: "" if item[1].messages is None else str(item[1].messages),
            key="doorbells",
            right=True,
        ),
    ]


def _running_columns() -> list[Column[Job]]:
    return [
        Column("running", lambda job: str(job.id), right=True),
        Column("kind", lambda job: job.kind, rank=1, least=14, short=ending),
        Column("name", formats.title, rank=2, least=12, short=name),
        Column("worker", lambda job: job.lease_owner or "", rank=3, least=12),
        Column("progress", formats.progress, right=True),
    ]


def _batch_columns() -> list[Column[Batch]]:
    return batch_table.short_columns(datetime.now().astimezone())
