"""Workers come and go."""

from __future__ import annotations

from steps import QUEUE

from cvq import queries
from cvq.db import Database
from cvq.lifecycle import workers
from cvq.states import WorkerState


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
