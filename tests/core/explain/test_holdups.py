"""What holds a job up, for whoever waits for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from situations import arrive, end, start, submit
from sqlalchemy import event

from cvq import queries
from cvq.db import Database
from cvq.explain.holdups import Holdup, holdup


def held_up(database: Database, job_id: int) -> Holdup | None:
    with database.read() as connection:
        return holdup(connection, queries.get_job(connection, job_id))


def test_nobody_can_run_it(database: Database) -> None:
    job_id = submit(database)
    child = submit(database, after=(job_id,))
    text = "No live worker serves the queue 'default'. `cvq up -d` starts one."
    assert held_up(database, job_id) == Holdup(True, text)
    assert held_up(database, child) == Holdup(
        True, f"It waits for job {job_id}. Of that one: {text}"
    )
    arrive(database, kinds={"kinds": {}, "broken": {}})
    told = held_up(database, job_id)
    assert told is not None
    assert told.nobody
    assert "lab.1 does not know the kind 'selftest'." in told.text
    arrive(database, "lab.2")
    assert held_up(database, job_id) is held_up(database, child) is None


def test_those_that_a_job_waits_for_are_looked_at_once_each(database: Database) -> None:
    first = submit(database, queue="elsewhere")
    above: list[int] = [submit(database), first]
    arrive(database)
    for _ in range(8):  # there are 256 ways down
        above = [submit(database, after=tuple(above)) for _ in range(2)]
    asked: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *a: asked.append(a[2]))
    told = held_up(database, above[0])
    assert told is not None
    assert told.text.startswith(f"It waits for job {first}. Of that one: No live worker serves")
    assert len(asked) < 20


def test_it_waits_behind_others(database: Database) -> None:
    arrive(database)
    first = submit(database)
    start(database)
    job_id = submit(database)
    told = held_up(database, job_id)
    assert told is not None
    assert not told.nobody
    assert f"The only slot of the queue 'default' is busy with job {first}." in told.text
    assert held_up(database, first) is None


def test_nobody_queues_what_waits_or_takes_what_was_lost(database: Database) -> None:
    lost = submit(database)
    start(database, lease=-1.0)
    later = submit(database, not_before=datetime.now(UTC) + timedelta(hours=1))
    for job_id in (lost, later):
        told = held_up(database, job_id)
        assert told is not None
        assert told.nobody
        assert "`cvq up -d` starts one" in told.text
    arrive(database, queues=["other"])
    assert held_up(database, lost) is held_up(database, later) is None


def test_what_has_ended_is_held_up_by_nothing(database: Database) -> None:
    job_id = submit(database)
    end(database, start(database))
    assert held_up(database, job_id) is None


def test_a_job_that_has_begun_since_it_was_read_does_not_wait_for_itself(
    database: Database,
) -> None:
    arrive(database)
    job_id = submit(database)
    with database.read() as connection:
        as_it_was = queries.get_job(connection, job_id)
    start(database)
    with database.read() as connection:
        assert holdup(connection, as_it_was) is None
