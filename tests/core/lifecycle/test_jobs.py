"""Jobs that nobody runs: they wait, follow their parents, and are cancelled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from steps import DONE, claim, claimed, finish, get, new, reap_and_promote, submit

from cvq import queries
from cvq.db import Database
from cvq.errors import UnknownJobError, UsageError
from cvq.lifecycle import jobs
from cvq.records import Outcome
from cvq.states import State


def test_children_follow_their_parents(database: Database) -> None:
    good, bad = submit(database, new(), new())
    [after_good] = submit(database, new(after=(good, good)))
    [after_bad] = submit(database, new(after=(good, bad)))
    [grandchild] = submit(database, new(after=(after_bad,)))
    reap_and_promote(database)
    assert get(database, after_good).state == State.WAITING
    finish(database, claimed(database).attempt_id, DONE)
    finish(database, claimed(database).attempt_id, Outcome(State.FAILED, "error", "no"))
    reap_and_promote(database)
    assert get(database, after_good).state == State.QUEUED
    for job_id in (after_bad, grandchild):
        job = get(database, job_id)
        assert (job.state, job.reason) == (State.FAILED, "dependency-failed")


def test_an_unknown_parent_leaves_no_job(database: Database) -> None:
    for parent in (4711, 2**62):
        with pytest.raises(UnknownJobError, match=str(parent)):
            submit(database, new(after=(parent,)))
    with pytest.raises(UsageError):
        submit(database, new(after=(10**30,)))
    with database.read() as connection:
        assert queries.count_states(connection) == {}


def test_a_job_does_not_start_before_its_time(database: Database) -> None:
    [job_id] = submit(database, new(not_before=datetime.now(UTC) + timedelta(hours=1)))
    reap_and_promote(database)
    assert get(database, job_id).state == State.WAITING
    assert claim(database) is None


def test_cancelling_an_unknown_job_says_so(database: Database) -> None:
    with pytest.raises(UnknownJobError, match="4711"), database.write() as connection:
        jobs.cancel(connection, 4711, "ann")
