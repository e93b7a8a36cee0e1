"""How a running job is doing."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from situations import (
    HOUR,
    arrive,
    change,
    crash,
    end,
    failed,
    promote,
    report,
    running,
    said,
    start,
    submit,
    why,
)
from sqlalchemy import update

from cvq import tables as t
from cvq.db import Database
from cvq.explain.explanation import Explanation
from cvq.ids import AttemptId
from cvq.lifecycle import jobs, workers
from cvq.records import MetricPoint
from cvq.tables import now


def test_running(database: Database) -> None:
    job_id = running(database)
    assert why(database, job_id) == Explanation(
        job_id,
        "running",
        "It has been running on lab (cpu) for 1h00m.",
        (f"`cvq watch {job_id}` follows it.",),
    )
    at = {"done": 30, "total": 100, "unit": "epoch", "eta_s": 720.0}
    report(database, AttemptId(job_id, 1), progress=at)
    assert said(database, job_id).endswith("It is at epoch 30 of 100, with about 12m00s to go.")
    report(database, AttemptId(job_id, 1), progress=at | {"eta_s": None})
    assert said(database, job_id).endswith("It is at epoch 30 of 100.")


def test_running_again(database: Database) -> None:
    job_id = submit(database)
    crash(database, start(database))
    promote(database)
    start(database, device=None)
    assert re.fullmatch(
        r"It has been running on lab for \d\.\ds\. "
        r"This is attempt 2 of 3, as attempt 1 ended with signal:SEGV\.",
        said(database, job_id),
    )


def test_running_on_a_silent_worker(database: Database) -> None:
    job_id = running(database, max_attempts=2)
    change(database, t.workers, seen_at=now(-150))
    change(database, t.jobs, lease_until=now(2 * HOUR + 30))
    told = why(database, job_id)
    assert re.search(
        r" Its worker lab\.1 has been silent for 2m3\ds: where that goes on, "
        r"the job is tried again in 2h00m\.$",
        told.why,
    )
    assert told.advice[1] == "Is lab up, and does it reach the database?"
    change(database, t.jobs, max_attempts=1)
    assert "the job is given up in 2h00m" in said(database, job_id)


def test_running_on_a_worker_that_lost_it(database: Database) -> None:
    job_id = running(database)
    change(database, t.jobs, lease_until=now(-1))
    told = why(database, job_id)
    assert told.why.endswith(
        "Its worker lab.1 has fallen silent, and the job stays so until another is up."
    )
    assert told.advice[1] == "`cvq up -d` starts one."
    arrive(database, "lab.2")
    assert said(database, job_id).endswith("and the job is taken from it in a moment.")


def test_running_on_a_worker_that_left_without_it(database: Database) -> None:
    job_id = running(database)
    change(database, t.jobs, lease_until=now(2 * HOUR + 30))
    with database.write() as connection:
        workers.deregister(connection, "lab.1")
    assert said(database, job_id).endswith(
        "Its worker lab.1 has left without it: it is tried again in 2h00m."
    )


def test_running_on_a_worker_that_is_asked_to_leave(database: Database) -> None:
    job_id = running(database)
    with database.write() as connection:
        workers.ask_to_drain(connection, "lab.1", "finish")
    assert said(database, job_id).endswith("Its worker leaves when it has ended.")
    with database.write() as connection:
        workers.ask_to_drain(connection, "lab.1", "stop")
    leaving = "Its worker is leaving: the job goes back to the queue."
    assert said(database, job_id).endswith(leaving)
    change(database, t.workers, drain=None, state="draining")
    assert said(database, job_id).endswith(leaving)


def test_running_and_to_be_cancelled(database: Database) -> None:
    job_id = running(database)
    with database.write() as connection:
        jobs.cancel(connection, job_id, "bob")
    change(database, t.events, time=now(-2 * HOUR))
    assert said(database, job_id).endswith(
        "bob asked 2h00m ago to cancel it: it stops within seconds."
    )


def test_running_with_limits(database: Database) -> None:
    job_id = running(database, time_limit=3 * HOUR + 30.0, soft_time_limit=2 * HOUR + 30.0)
    assert said(database, job_id).endswith(
        "It is asked to stop in 1h00m, at its limit of 2h00m. "
        "It is killed in 2h00m, at its limit of 3h00m."
    )
    for eta, late in ((3500.0, False), (3700.0, True), (None, False)):
        at = {"done": 1, "total": 2, "unit": "step", "eta_s": eta}
        report(database, AttemptId(job_id, 1), progress=at)
        assert said(database, job_id).endswith("At its pace it will not be done by then.") == late
    change(database, t.jobs, soft_time_limit=60.0)
    assert "It is asked to stop now, at its limit of 1m00s." in said(database, job_id)


def test_running_longer_than_usual(database: Database) -> None:
    for seconds in (60, 600, 1200):
        job_id = submit(database)
        end(database, start(database))
        with database.write() as connection:
            mine = t.jobs.c.id == job_id
            ended = {"started_at": now(-seconds), "finished_at": now(0.0)}
            connection.execute(update(t.jobs).where(mine).values(**ended))
    failed(database, "error")
    job_id = submit(database)
    arrive(database)
    report(database, start(database), progress={"done": 1, "total": 2, "unit": "step"})
    only = t.jobs.c.id == job_id

    def ran(seconds: float) -> str:
        with database.write() as connection:
            connection.execute(update(t.jobs).where(only).values(started_at=now(-seconds)))
        return said(database, job_id)

    assert "usual" not in ran(895)
    assert (
        "That is longer than usual: the last 3 selftest jobs that succeeded took 10m00s in the "
        "median."
    ) in ran(910)
    change(database, t.jobs, kind="another")
    assert "usual" in ran(910)
    with database.write() as connection:
        connection.execute(update(t.jobs).where(~only).values(kind="third"))
    assert "usual" not in ran(910)


def test_running_without_a_word(database: Database) -> None:
    job_id = running(database)
    change(database, t.logs, time=now(-110))
    assert "no log line" not in said(database, job_id)
    change(database, t.logs, time=now(-630))
    told = why(database, job_id)
    assert re.search(r"It has written no log line and no metric for 10m3\ds\.$", told.why)
    assert told.advice[1:] == (
        f"`cvq logs {job_id} --tail 50` shows its last lines.",
        f"If it hangs, `cvq cancel {job_id}` stops it; --time-limit does so by itself.",
    )
    point = MetricPoint("loss", 1, 0.5, datetime.now(UTC))
    report(database, AttemptId(job_id, 1), metrics=[point])
    assert "no log line" not in said(database, job_id)
