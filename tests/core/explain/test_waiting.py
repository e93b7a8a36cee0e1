"""Why a job waits."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from situations import (
    arrive,
    change,
    checkpoint,
    crash,
    end,
    failed,
    said,
    start,
    submit,
    why,
)

from cvq import tables as t
from cvq.db import Database
from cvq.explain.explanation import Explanation
from cvq.lifecycle import attempts


def test_waiting_for_parents(database: Database) -> None:
    arrive(database)
    done, running, queued = (submit(database) for _ in range(3))
    end(database, start(database))
    start(database)
    child = submit(database, after=(done, running, queued))
    assert why(database, child) == Explanation(
        child,
        "waiting",
        f"It waits for job {running} (running) and job {queued} (queued) to succeed.",
        (f"`cvq why {running}` explains that one.",),
    )


def test_waiting_for_many_parents_names_some(database: Database) -> None:
    parents = [submit(database) for _ in range(8)]
    child = submit(database, after=tuple(parents))
    assert " and 3 more to succeed" in said(database, child)


def test_waiting_for_a_parent_that_failed(database: Database) -> None:
    parent = failed(database, "error")
    child = submit(database, after=(parent,))
    told = why(database, child)
    assert told.why == (
        f"It waits for job {parent} (failed), which did not succeed: it fails, too, in a moment."
    )
    assert told.advice == (
        f"`cvq why {parent}` explains that one.",
        "That takes a worker, and none is up: `cvq up -d` starts one.",
    )
    arrive(database)
    assert len(why(database, child).advice) == 1


def test_waiting_for_its_time(database: Database) -> None:
    time = datetime.now(UTC) + timedelta(hours=2, seconds=30)
    job_id = submit(database, not_before=time)
    clock = f"{time.astimezone():%Y-%m-%d %H:%M:%S}"
    told = why(database, job_id)
    assert told.why == f"It was submitted with --at and starts no sooner than {clock}, in 2h00m."
    assert f"`cvq cancel {job_id}`" in told.advice[0]
    parent = submit(database)
    child = submit(database, not_before=time, after=(parent,))
    assert said(database, child) == (
        f"It waits for job {parent} (queued) to succeed. "
        f"It starts no sooner than {clock}, in 2h00m, in any case."
    )


def test_waiting_after_an_attempt_that_failed(database: Database) -> None:
    job_id = submit(database)
    attempt = start(database)
    checkpoint(database, attempt, 40)
    checkpoint(database, attempt, 120)
    crash(database, attempt)
    change(database, t.jobs, not_before=datetime.now(UTC) + timedelta(minutes=4, seconds=30))
    told = why(database, job_id)
    assert re.fullmatch(
        r"Attempt 1 ended with signal:SEGV\. The next goes on from its checkpoint after step "
        r"120\. Attempt 2 of 3 starts in 4m\d\ds\.",
        told.why,
    )
    assert f"`cvq logs {job_id} --attempt 1 --tail 20`" in told.advice[0]
    assert "none is up" in told.advice[1]


def test_waiting_after_a_lost_worker(database: Database) -> None:
    job_id = submit(database)
    start(database, lease=-1.0)
    with database.write() as connection:
        attempts.reap(connection, "w")
    assert said(database, job_id) == (
        "Attempt 1 ended with worker-lost. Attempt 2 of 3 is queued in a moment."
    )


def test_waiting_for_nothing_any_more(database: Database) -> None:
    parent = submit(database)
    child = submit(database, after=(parent,))
    end(database, start(database))
    told = why(database, child)
    assert told.why == "Nothing holds it any more: it is queued in a moment."
    assert told.advice == ("That takes a worker, and none is up: `cvq up -d` starts one.",)
    arrive(database, queues=["other"])
    assert why(database, child).advice == ()
