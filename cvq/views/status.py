"""What there is to see of database, Redis, queues, workers and running jobs at one moment."""

from __future__ import annotations

from dataclasses import dataclass

from .. import queries
from ..batch import Batch
from ..broker.queue import Broker
from ..db import Database
from ..errors import CvqError
from ..records import Job, Worker
from ..settings import Settings, masked
from ..states import State
from . import filters

STOPPED = "stopped"  # of the embedded Redis, which starts when it is needed
_MOST = 30  # jobs, and batches


@dataclass(frozen=True)
class Queue:
    """How many jobs are queued on a queue, and how many messages wait in Redis, where known."""

    queued: int
    messages: int | None


@dataclass(frozen=True)
class Look:
    """What there was to see at one moment.

    Attributes:
        places: where database, broker and store are, secrets masked.
        redis: `up`, `stopped` or what is wrong.
        states: how many jobs there are in each state.
        running: the newest of the running jobs that are of no batch.
        batches: the newest of those batches that have not ended.
    """

    places: dict[str, str]
    redis: str
    states: dict[str, int]
    queues: dict[str, Queue]
    workers: list[Worker]
    running: list[Job]
    batches: list[Batch]


def look(database: Database, broker: Broker, settings: Settings) -> Look:
    """Ask the database and Redis; an embedded Redis that is stopped is not started."""
    with database.read() as connection:
        counts = queries.count_states(connection)
        queued = queries.queued_by_queue(connection)
        workers = queries.workers(connection)
        running = filters.find(
            connection, filters.Filter(states=[State.RUNNING], alone=True, limit=_MOST)
        )
        batches = queries.unfinished_batches(connection, _MOST)
    served = {queue for row in workers if row.alive for queue in row.queues}
    names = sorted({*queued, *served})
    redis, messages = _look_at_redis(broker, names)
    return Look(
        places={
            "database": str(database),
            "broker": str(broker),
            "store": masked(settings.store),
        },
        redis=redis,
        states={state: counts.get(state, 0) for state in State},
        queues={name: Queue(queued.get(name, 0), messages.get(name)) for name in names},
        workers=workers,
        running=running,
        batches=batches,
    )


def _look_at_redis(broker: Broker, queues: list[str]) -> tuple[str, dict[str, int]]:
    try:
        if broker.is_stopped():
            return STOPPED, {}
        return "up", broker.lengths(queues)
    except CvqError as error:
        return str(error), {}
