"""`cvq status`: everything on one screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from cvq.errors import CvqError

from .. import formats, options
from ..output import Column, console, dump, dump_line, on_terminal, plain_table, say, table
from ..widths import ending, name, plain_blanks, terminal_width, whole, wrap
from . import worker

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cvq.client import Client
    from cvq.records import Job

_MOST_RUNNING = 30


@dataclass(frozen=True)
class Look:
    """What there was to see at one moment. `redis` is `up`, `stopped` or what is wrong."""

    places: dict[str, str]
    redis: str
    states: dict[str, int]
    queues: dict[str, tuple[int, int | None]]
    workers: list[dict[str, Any]]
    running: list[Job]


@click.command(epilog="\b\nExamples:\n  cvq status\n  cvq status -w\n  cvq status --json")
@options.as_json
@options.watching
def status(as_json: bool, watch: bool) -> None:
    """Show where everything is and what it is doing.

    QUEUED are the jobs that a queue has, as the database says. IN REDIS are the messages that wait
    there to wake a worker for it: a worker that wakes takes all jobs that it finds, and finds them
    without a message, too, so that these may well be more or fewer.
    """
    from cvq.client import Client

    from ..live import repeat

    client = Client()

    def tell(seen: Look) -> None:
        if as_json:
            (dump_line if watch else dump)(to_json(seen))
        elif on_terminal():
            console().print(_draw(seen), soft_wrap=True)
        else:
            say("\n".join(_lines(seen)))

    if watch:
        repeat(lambda: look(client), _draw, tell)
    tell(look(client))


def look(client: Client) -> Look:
    """Ask the database and Redis; an embedded Redis that is stopped is not started."""
    from cvq import queries
    from cvq.settings import masked
    from cvq.states import State
    from cvq.views import filters

    with client.db.read() as connection:
        counts = queries.count_states(connection)
        queued = queries.queued_by_queue(connection)
        workers = queries.workers(connection)
        running = filters.find(
            connection, filters.Filter(states=[State.RUNNING], limit=_MOST_RUNNING)
        )
    served = {queue for row in workers if row["alive"] for queue in row["queues"]}
    names = sorted({*queued, *served})
    redis, doorbells = _look_at_redis(client, names)
    return Look(
        places={
            "database": str(client.db),
            "broker": str(client.broker),
            "store": masked(client.settings.store),
        },
        redis=redis,
        states={state: counts.get(state, 0) for state in State},
        queues={name: (queued.get(name, 0), doorbells.get(name)) for name in names},
        workers=workers,
        running=running,
    )


def _look_at_redis(client: Client, queues: list[str]) -> tuple[str, dict[str, int]]:
    from cvq.broker.embedded import redis_answers

    try:
        if client.broker.embedded and not redis_answers(client.settings.home):
            return "stopped", {}
        return "up", client.broker.lengths(queues)
    except CvqError as error:
        return str(error), {}


def to_json(seen: Look) -> dict[str, Any]:
    """The documented shape."""
    return {
        **seen.places,
        "redis": seen.redis,
        "jobs": seen.states,
        "queues": {
            name: {"queued": queued, "doorbells": doorbells}
            for name, (queued, doorbells) in seen.queues.items()
        },
        "workers": [worker.to_json(row) for row in seen.workers],
        "running": [
            {"id": job.id, "kind": job.kind, "worker": job.lease_owner, "progress": job.progress}
            for job in seen.running
        ],
    }


def _head(seen: Look) -> list[tuple[str, str]]:
    jobs = "  ".join(f"{count} {state}" for state, count in seen.states.items() if count)
    redis = seen.redis + (" (starts by itself)" if seen.redis == "stopped" else "")
    return [*seen.places.items(), ("redis", redis), ("jobs", jobs or "none")]


def _tables(seen: Look) -> list[tuple[list[Column[Any]], list[Any], str]]:
    """Columns and rows of each table; and what is said instead of an empty one."""
    return [
        (_queue_columns(), list(seen.queues.items()), ""),
        (worker.columns(), seen.workers, "no workers: `cvq up -d` starts one"),
        (_running_columns(), seen.running, ""),
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


def _queue_columns() -> list[Column[tuple[str, tuple[int, int | None]]]]:
    return [
        Column("queue", lambda item: item[0], least=12),
        Column("queued", lambda item: str(item[1][0]), right=True),
        Column(
            "in redis",
            lambda item: "" if item[1][1] is None else str(item[1][1]),
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
