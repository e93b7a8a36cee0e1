"""What jobs will cost, from a history and a queue in a real database."""

from __future__ import annotations

import random
from typing import Any

import pytest
from past_jobs import ended
from plans import sqlite_plans
from situations import arrive, change, running, start, submit

from cvq import Client, queries
from cvq import tables as t
from cvq.db import Database
from cvq.estimates import Estimate, of_job, of_new, of_unfinished
from cvq.records import NewJob
from cvq.tables import now


def estimate(database: Database, job_id: int) -> Estimate:
    with database.read() as connection:
        told = of_job(connection, queries.get_job(connection, job_id))
    assert told is not None
    return told


def of_some(database: Database, *specs: dict[str, Any], **values: Any) -> Estimate:
    values = {"kind": "selftest", "user": "ann", "spec_hash": "0"} | values
    with database.read() as connection:
        told = of_new(connection, [NewJob(spec=spec, **values) for spec in specs])
    assert told is not None
    return told


def steps(number: int, per_step: float = 0.5) -> list[tuple[dict[str, Any], float]]:
    """Jobs whose time is 2 s and half a second for each step, a tenth more or less."""
    draws = random.Random(1)
    chosen = [draws.choice([10, 20, 50, 100, 200]) for _ in range(number)]
    return [({"steps": n}, (2 + n * per_step) * draws.uniform(0.9, 1.1)) for n in chosen]


def test_a_job_takes_as_long_as_those_like_it_for_its_size(database: Database) -> None:
    ended(database, steps(60))
    arrive(database)
    told = estimate(database, submit(database, spec={"steps": 150}))
    assert told.time is not None
    assert told.time.middle == pytest.approx(77, rel=0.15)
    assert told.time.low < 77 < told.time.high < 1.6 * told.time.low
    assert (told.based_on, told.notes) == (60, ())
    assert told.gpu_hours == (0, 0, 0)


def test_nothing_is_told_of_a_kind_without_history_and_why(database: Database) -> None:
    ended(database, steps(5), kind="vae")
    arrive(database)
    told = estimate(database, submit(database))
    assert (told.time, told.end, told.based_on) == (None, None, 0)
    assert told.start is not None  # a slot is free
    assert told.start.high == 0
    assert told.notes == ("no selftest job has succeeded yet",)


def test_failed_jobs_tell_no_run_time(database: Database) -> None:
    ended(database, steps(5), state="failed")
    assert of_some(database, {}).notes[0] == "no selftest job has succeeded yet"


def test_without_a_worker_the_time_is_told_and_no_start(database: Database) -> None:
    ended(database, steps(30))
    told = of_some(database, {"steps": 100})
    assert told.time is not None
    assert (told.start, told.end) == (None, None)
    assert told.notes == ("no worker that is up can run it",)


def test_gpu_jobs_are_learnt_from_gpus_and_cost_hours(database: Database) -> None:
    ended(database, steps(30))  # on CPUs, where it takes ten times as long
    ended(database, steps(30, 0.05), device="cuda:0", host="box")
    arrive(database, devices=["cuda:0"], queues=["gpu"], host="box")
    told = of_some(database, {"steps": 200}, device="gpu", queue="gpu")
    assert told.time is not None
    assert told.time.middle == pytest.approx(12, rel=0.2)
    assert told.gpu_hours is not None
    assert told.gpu_hours.middle == pytest.approx(12 / 3600, rel=0.2)
    assert of_some(database, {"steps": 200}, device="cpu").gpu_hours == (0, 0, 0)


def test_a_queued_job_starts_when_those_before_it_have_ended(database: Database) -> None:
    ended(database, [({"steps": 10}, 100.0)] * 40, ago=36_000)
    arrive(database)
    for _ in range(3):
        last = submit(database, spec={"steps": 10})
    start(database)
    told = estimate(database, last)
    assert told.start is not None
    assert told.end is not None
    assert told.start.middle == pytest.approx(200, rel=0.1)  # two are before it, one runs
    assert told.end.middle == pytest.approx(300, rel=0.1)
    assert told.starts_at is not None
    assert (told.starts_at.middle - told.now).total_seconds() == pytest.approx(told.start.middle)


def test_users_take_turns_and_priority_goes_first(database: Database) -> None:
    ended(database, [({"steps": 10}, 100.0)] * 40, ago=36_000)
    arrive(database)
    for _ in range(9):
        submit(database, spec={"steps": 10})
    start(database)
    for user, priority, before in (("bea", 5, 2), ("bea", 9, 1), ("ann", 5, 10)):
        told = of_some(database, {"steps": 10}, user=user, priority=priority)
        assert told.start is not None
        assert told.start.middle == pytest.approx(100 * before, rel=0.15), (user, priority)


def test_the_time_a_running_job_has_left_is_what_it_says_itself(database: Database) -> None:
    job_id = running(database)
    ended(database, [({}, 4000.0)] * 30)
    change(database, t.jobs, progress={"done": 5, "total": 10, "unit": "step", "eta_s": 900})
    told = estimate(database, job_id)
    assert told.end is not None
    assert told.end.middle == pytest.approx(900, rel=0.1)
    assert told.start is None
    change(database, t.jobs, progress=None)
    told = estimate(database, job_id)
    assert told.end is not None
    assert told.end.middle == pytest.approx(400, rel=0.3)  # it has run for an hour


def test_a_waiting_job_starts_after_those_that_it_waits_for(database: Database) -> None:
    ended(database, [({}, 100.0)] * 40, ago=36_000)
    arrive(database, devices=["cpu"] * 4, slots=4)
    parent = submit(database)
    child = submit(database, after=(parent,))
    grandchild = submit(database, after=(child,))
    told = estimate(database, grandchild)
    assert told.start is not None
    assert told.start.middle == pytest.approx(200, rel=0.1)


def test_a_child_of_a_job_that_nobody_can_run_never_starts(database: Database) -> None:
    ended(database, [({}, 100.0)] * 40)
    arrive(database)
    child = submit(database, after=(submit(database, queue="nobody"),))
    told = estimate(database, child)
    assert told.start is None
    assert told.notes == ("it waits for a job that does not start",)


def test_a_batch_ends_when_its_last_job_has(database: Database) -> None:
    ended(database, [({}, 100.0)] * 40, ago=36_000)
    arrive(database, devices=["cpu"] * 2, slots=2)
    told = of_some(database, *[{}] * 10)
    assert told.jobs == 10
    assert told.start is not None
    assert told.start.high < 1
    assert told.end is not None
    assert told.end.middle == pytest.approx(500, rel=0.1)
    with database.read() as connection:  # the same, told by a few of them
        some = [NewJob(kind="selftest", user="ann", spec_hash="0", spec={})] * 2
        told = of_new(connection, some, total=10) or told
    assert told.end is not None
    assert told.end.middle == pytest.approx(500, rel=0.1)


def test_of_a_queue_too_long_to_look_at_the_rest_is_counted(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvq.estimates.queue.MOST_AHEAD", 20)
    ended(database, [({}, 10.0)] * 40, ago=36_000)
    arrive(database)
    ids = [submit(database) for _ in range(100)]
    change(database, t.jobs, queued_at=now(-60))
    with database.read() as connection:
        some = queries.get_jobs(connection, [ids[10], ids[50], ids[99]])
        told = of_unfinished(connection, some)
    for place in (10, 50, 99):
        found = told[ids[place]]
        assert found.start is not None
        assert found.start.middle == pytest.approx(10 * place, rel=0.1), place
    assert "counted, not looked at" in told[ids[99]].notes[0]


def test_a_damaged_specification_spoils_no_estimate(database: Database) -> None:
    ended(database, [({}, 100.0)] * 30, ago=36_000)
    arrive(database)
    job_id = submit(database)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET spec = '[1, 2]' WHERE id IN (3, 31)")
    told = estimate(database, job_id)
    assert told.based_on == 29


def test_what_is_read_of_a_long_history_is_bounded(client: Client) -> None:
    """Nothing is looked at but by an index: the history may have a million jobs."""
    database = client.db
    ended(database, steps(30))
    arrive(database)
    job_id = submit(database, spec={"steps": 10})
    child = submit(database, after=(job_id,))
    plans = sqlite_plans(database, lambda: {estimate(database, child)}.clear())
    assert [plan for plan in plans if plan.startswith("SEARCH jobs USING INDEX ix_jobs_succeeded")]
    tables = ("SCAN jobs", "SCAN attempts", "SCAN dependencies")
    scans = [plan for plan in plans if plan.startswith(tables) and "INDEX" not in plan]
    assert [plan for plan in scans if "ORDER BY jobs.id DESC\n LIMIT" not in plan] == []


def test_the_shape_in_json(database: Database) -> None:
    ended(database, steps(30))
    arrive(database)
    shape = of_some(database, {"steps": 50}).to_json()
    assert set(shape) == {
        "kind", "jobs", "seconds", "start_in_s", "end_in_s", "starts_at", "ends_at", "gpu_hours",
        "based_on", "notes",
    }  # fmt: skip
    assert set(shape["seconds"]) == {"p10", "p50", "p90"}


def test_the_client_has_the_same_powers(client: Client) -> None:
    ended(client.db, [({"steps": 10, "pause": 0.05}, 100.0)] * 30, ago=36_000)
    arrive(client.db)
    told = client.estimate("selftest", steps=10)
    assert told.time is not None
    assert told.time.middle == pytest.approx(100)
    assert client.jobs(state="queued") == []
    handle = client.job(submit(client.db, spec={"steps": 10}))
    queued = handle.estimate()
    assert queued is not None
    assert queued.start is not None
    assert client.job(1).estimate() is None
    assert client.stats("user", state="succeeded").total.jobs == 30
