"""How jobs end otherwise, and states that nobody knows."""

from __future__ import annotations

import re

import pytest
from situations import HOUR, change, crash, end, promote, report, said, start, submit, why
from sqlalchemy import update

from cvq import tables as t
from cvq.db import Database
from cvq.lifecycle import jobs
from cvq.lifecycle.events import add_event
from cvq.records import Artifact
from cvq.states import State
from cvq.tables import now


def test_cancelled(database: Database) -> None:
    first, second, third = (submit(database) for _ in range(3))
    attempt, other = start(database), start(database)
    crash(database, other)
    with database.write() as connection:
        for job_id in (first, second, third):
            jobs.cancel(connection, job_id, "bob")
        jobs.cancel(connection, first, "eve")
    end(database, attempt, State.CANCELLED)
    change(database, t.events, time=now(-2 * HOUR))
    change(database, t.attempts, finished_at=now(-1 * HOUR))
    assert said(database, first) == "bob cancelled it 2h00m ago, during attempt 1."
    change(database, t.attempts, finished_at=now(-3 * HOUR))
    assert said(database, second) == "bob cancelled it 2h00m ago, after attempt 1."
    told = why(database, third)
    assert told.why == "bob cancelled it 2h00m ago, before it had started."
    assert told.advice == (
        f"`cvq show {third}` has its values, to submit it again.",
        f"`cvq retry {third}` tries it again.",
    )
    change(database, t.events, what="forgotten")
    assert said(database, third) == "It was cancelled."


def test_succeeded(database: Database) -> None:
    job_id = submit(database)
    end(database, start(database))
    change(database, t.jobs, started_at=now(-2 * HOUR), finished_at=now(0.0))
    told = why(database, job_id)
    assert told.why == "It succeeded in 2h00m, at the first attempt."
    assert told.advice == (f"`cvq show {job_id}` tells all about it.",)


def test_succeeded_in_the_end(database: Database) -> None:
    job_id = submit(database)
    crash(database, start(database), "worker-lost")
    promote(database)
    end(database, start(database), State.QUEUED, reason="preempted")
    attempt = start(database)
    result = Artifact("a.png", "result", "image/png", "file:///a.png", "0" * 64, 5)
    report(database, attempt, artifacts=[result])
    end(database, attempt)
    told = why(database, job_id)
    assert re.fullmatch(
        r"It succeeded in \d\.\ds, at attempt 3\. Attempt 1 ended with worker-lost and attempt 2 "
        r"was stopped, as its worker left\.",
        told.why,
    )
    assert told.advice == (f"`cvq get {job_id}` copies its files here.",)


@pytest.mark.parametrize("state", [*State, "paused"])
def test_a_job_of_any_state_without_any_history_is_explained(
    database: Database, state: str
) -> None:
    job_id = submit(database)
    with database.write() as connection:
        connection.execute(update(t.jobs).values(state=state, progress={"done": 0}))
    told = why(database, job_id)
    assert told.state == state
    assert told.why.endswith(".")


def test_pruned(database: Database) -> None:
    job_id = submit(database)
    change(database, t.jobs, sweep=3, reason="pruned", state="cancelled")
    with database.write() as connection:
        add_event(connection, job_id, "pruned: loss 3 by step 2 is worse than 1", "sweep 3")
    told = why(database, job_id)
    assert told.why == (
        "Sweep 3 stopped it, as it was worse than half of the other trials: loss 3 by step 2 is "
        "worse than 1."
    )
    assert told.advice == ("`cvq sweep show 3` ranks them.",)
