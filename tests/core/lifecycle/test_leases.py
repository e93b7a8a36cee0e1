"""A lease is one worker's; what may have been written already is not written twice."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import select
from steps import DONE, claimed, finish, get, new, submit

from cvq import queries
from cvq import tables as t
from cvq.db import Database
from cvq.errors import LeaseLostError
from cvq.ids import AttemptId
from cvq.lifecycle import attempts, jobs, leases, order
from cvq.matching import Needs
from cvq.records import LogLine, Outcome
from cvq.states import Reason, State


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


def test_a_report_is_of_its_own_attempt_alone(database: Database) -> None:
    submit(database, new())
    first = claimed(database).attempt_id
    with database.write() as connection:
        attempts.report(connection, first, number=1, pid=11)
    assert finish(database, first, Outcome(State.QUEUED, "preempted")) == State.QUEUED
    second = claimed(database).attempt_id
    with database.write() as connection:
        attempts.report(connection, second, number=2, pid=22)
    with database.read() as connection:
        one, two = queries.attempts_of(connection, first.job_id)
        numbers = connection.scalars(select(t.attempts.c.reports).order_by(t.attempts.c.number))
        assert numbers.all() == [1, 2]
    assert (one.pid, two.pid) == (11, 22)


def test_a_job_whose_worker_is_lost_is_cancelled_at_once(database: Database) -> None:
    lost, held, queued = submit(database, new(), new(), new())
    claimed(database, lease=-1.0)
    claimed(database)
    with database.write() as connection:
        ends = [jobs.cancel(connection, job_id, "ann") for job_id in (lost, held, queued)]
    assert [job.state for job in ends] == [State.CANCELLED, State.RUNNING, State.CANCELLED]
    assert [job.reason for job in ends] == [Reason.WORKER_LOST, None, None]
    assert [job.cancel_requested for job in ends] == [False, True, True]
    assert all(job.finished_at is not None for job in (ends[0], ends[2]))
    with database.read() as connection:
        (attempt,) = queries.attempts_of(connection, lost)
        last = queries.events_of(connection, queued)[-1]
    assert (attempt.outcome, attempt.reason) == (State.CANCELLED, Reason.WORKER_LOST)
    assert (last.what, last.by) == (State.CANCELLED, "ann")


def test_a_lease_that_somebody_has_proved_dead_is_ended_before_its_time(
    database: Database,
) -> None:
    submit(database, new())
    job = claimed(database, lease=600.0)
    assert job.lease_until is not None
    with database.write() as connection:
        assert attempts.reap(connection, "reaper") == []
        suspects = {job.attempt_id: job.lease_until}
        assert attempts.reap(connection, "reaper", suspects) == [job.attempt_id]
    assert get(database, job.id).state == State.WAITING


def test_what_may_be_claimed_is_counted_by_place(database: Database) -> None:
    submit(database, new(), new(), new(queue="other"), new(device="gpu"))
    claimed(database)
    with database.read() as connection:
        found = order.open_to_claims(connection)
    assert sorted((place.queue, count) for place, count in found.items()) == [
        ("default", 1), ("default", 1), ("other", 1),
    ]  # fmt: skip
    assert {place.needs for place in found} == {
        Needs.of(new()).key,
        Needs.of(new(device="gpu")).key,
    }
