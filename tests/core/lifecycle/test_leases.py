"""A lease is one worker's; what may have been written already is not written twice."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from steps import DONE, claimed, finish, get, new, submit

from cvq import queries
from cvq.db import Database
from cvq.errors import LeaseLostError
from cvq.ids import AttemptId
from cvq.lifecycle import attempts, leases
from cvq.records import LogLine, Outcome
from cvq.states import State


def test_a_worker_holds_its_own_running_jobs_and_no_others(database: Database) -> None:
    submit(database, new(), new(), new())
    mine, ended = claimed(database).attempt_id, claimed(database).attempt_id
    theirs = claimed(database, worker="other").attempt_id
    finish(database, ended, DONE)
    earlier = AttemptId(mine.job_id, mine.attempt - 1)
    with database.read() as connection:
        held = leases.still_held(connection, "w", [mine, ended, theirs, earlier])
        assert held == {mine}
        assert leases.still_held(connection, "w", []) == set()


def test_only_what_was_asked_for_is_prolonged(database: Database) -> None:
    submit(database, new(), new())
    first, second = claimed(database), claimed(database)
    with database.write() as connection:
        found = leases.renew(connection, "w", 600.0, [first.attempt_id])
        assert leases.renew(connection, "w", 600.0, []) == {}
    assert found == {first.attempt_id: False}
    before, after = first.lease_until, get(database, first.id).lease_until
    assert before is not None
    assert after is not None
    assert after > before
    assert get(database, second.id).lease_until == second.lease_until


def test_a_report_sent_twice_is_written_once(database: Database) -> None:
    submit(database, new())
    attempt = claimed(database).attempt_id

    def report(number: int, text: str) -> None:
        lines = [LogLine(number, datetime.now(UTC), "stdout", text)]
        with database.write() as connection:
            attempts.report(connection, attempt, number=number, logs=lines)

    report(1, "one")
    report(1, "one, sent again")
    report(2, "two")
    report(1, "one, late")
    with database.read() as connection:
        assert [line.text for line in queries.logs_of(connection, attempt.job_id)] == [
            "one",
            "two",
        ]


def test_an_end_whose_answer_was_lost_is_told_again(database: Database) -> None:
    submit(database, new())
    attempt = claimed(database).attempt_id
    failed = Outcome(State.FAILED, "error", "it went wrong", "a traceback", peak_memory=7)
    with pytest.raises(LeaseLostError), database.write() as connection:
        attempts.finish(connection, AttemptId(attempt.job_id, 9), failed, "w", again=True)
    for again in (True, True):  # there was nothing before the first
        with database.write() as connection:
            assert attempts.finish(connection, attempt, failed, "w", again=again) == State.FAILED
    with pytest.raises(LeaseLostError), database.write() as connection:
        attempts.finish(connection, attempt, DONE, "w", again=True)
    with database.read() as connection:
        [ended] = queries.attempts_of(connection, attempt.job_id)
    assert (ended.outcome, ended.reason, ended.error, ended.traceback, ended.peak_memory) == (
        "failed", "error", "it went wrong", "a traceback", 7,
    )  # fmt: skip
    assert ended.finished_at == get(database, attempt.job_id).finished_at is not None


def test_an_attempt_that_did_not_count_gives_one_more(database: Database) -> None:
    submit(database, new(max_attempts=2))
    stopped = claimed(database)
    assert finish(database, stopped.attempt_id, Outcome(State.QUEUED, "preempted")) == "queued"
    assert get(database, stopped.id).max_attempts == 3
