"""Workers come and go."""

from __future__ import annotations

import pytest
from steps import QUEUE, registered

from cvq import queries
from cvq.db import Database
from cvq.lifecycle import workers
from cvq.states import Drain, WorkerState


def test_workers_come_and_go(database: Database) -> None:
    entry = {"host": "h", "pid": 1, "devices": ["cpu"], "queues": [QUEUE], "slots": 1}
    with database.write() as connection:
        workers.register(connection, id="w1", lease=30.0, versions={"python": "3"}, **entry)
        workers.register(connection, id="w2", lease=0.0, **entry)
        found = {row.id: row for row in queries.workers(connection)}
        assert (found["w1"].alive, found["w2"].alive) == (True, False)
        workers.heartbeat(connection, "w1", WorkerState.DRAINING)
        assert queries.live_workers(connection, QUEUE) == []
        workers.deregister(connection, "w1")
        assert [row.id for row in queries.workers(connection)] == ["w2"]


@pytest.mark.parametrize("how", [None, *Drain])
def test_a_worker_hears_how_it_is_to_leave(database: Database, how: Drain | None) -> None:
    registered(database, "w1")
    registered(database, "w2")
    with database.write() as connection:
        if how is not None:
            workers.ask_to_drain(connection, "w1", how)
        assert workers.heartbeat(connection, "w1", WorkerState.UP) == how
        assert workers.heartbeat(connection, "w2", WorkerState.UP) is None
        assert workers.heartbeat(connection, "unknown", WorkerState.UP) is None
