"""What becomes of a job when its attempt ends, by its worker or by silence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from steps import DONE, claim, claimed, finish, get, new, reap_and_promote, submit

from cvq import queries
from cvq import tables as t
from cvq.db import Database
from cvq.errors import LeaseLostError
from cvq.lifecycle import attempts, jobs, leases
from cvq.lifecycle.artifacts import drop
from cvq.records import Artifact, LogLine, Outcome
from cvq.states import Role, State


def test_a_silent_worker_loses_its_job_to_the_next(database: Database) -> None:
    [job_id] = submit(database, new(max_attempts=2))
    lost = claimed(database, lease=-1.0).attempt_id
    reap_and_promote(database)
    job = claimed(database, worker="other")
    assert (job.id, job.attempt) == (job_id, 2)
    with pytest.raises(LeaseLostError), database.write() as connection:
        attempts.report(connection, lost, progress={"done": 1})
    with pytest.raises(LeaseLostError):
        finish(database, lost, DONE)
    with database.write() as connection:
        assert leases.renew(connection, "w", 60, [lost]) == {}
    finish(database, job.attempt_id, DONE)
    assert get(database, job_id).state == State.SUCCEEDED


def test_a_job_that_always_loses_its_worker_is_given_up(database: Database) -> None:
    [job_id] = submit(database, new(max_attempts=2))
    for _ in range(2):
        claimed(database, lease=-1.0)
        reap_and_promote(database)
    job = get(database, job_id)
    assert (job.state, job.reason, job.attempt) == (State.FAILED, "attempts-exhausted", 2)
    assert job.error is not None
    assert "fell silent" in job.error
    assert claim(database) is None


def test_failed_attempts_wait_longer_and_longer_by_the_backoff(database: Database) -> None:
    [job_id] = submit(database, new(max_attempts=5))
    for number in range(4):
        job = claimed(database)
        with database.read() as connection:
            before = queries.database_time(connection)
        finish(database, job.attempt_id, Outcome(State.FAILED, "error", "no", retry=True))
        with database.write() as connection:
            assert jobs.promote(connection, "w") == 0
            not_before = queries.get_job(connection, job_id).not_before
            assert not_before is not None
            longest = timedelta(seconds=2 * 2**number)
            assert before + longest / 2 <= not_before
            assert not_before <= queries.database_time(connection) + longest
            connection.execute(t.jobs.update().values(not_before=None))
            jobs.promote(connection, "w")


def test_lost_workers_do_not_lengthen_the_backoff(database: Database) -> None:
    [job_id] = submit(database, new(max_attempts=9))
    for _ in range(4):
        claimed(database, lease=-1.0)
        reap_and_promote(database)
    finish(
        database, claimed(database).attempt_id, Outcome(State.FAILED, "exit:1", "no", retry=True)
    )
    with database.read() as connection:
        not_before = queries.get_job(connection, job_id).not_before
        assert not_before is not None
        assert (not_before - queries.database_time(connection)).total_seconds() <= 2


def test_a_clock_set_back_does_not_prolong_a_pause_before_a_retry(database: Database) -> None:
    [retried] = submit(database, new())
    finish(
        database, claimed(database).attempt_id, Outcome(State.FAILED, "exit:1", "no", retry=True)
    )
    hour = datetime.now(UTC) + timedelta(hours=1)
    [later] = submit(database, new(not_before=hour))
    with database.write() as connection:
        connection.execute(t.jobs.update().where(t.jobs.c.id == retried).values(not_before=hour))
    reap_and_promote(database)
    assert (get(database, retried).state, get(database, later).state) == (
        State.QUEUED,
        State.WAITING,
    )


def test_only_the_leases_that_are_suspected_and_unchanged_are_reaped(database: Database) -> None:
    submit(database, new(), new(), new())
    dead, renewed, other = (claimed(database, lease=-1.0) for _ in range(3))
    assert dead.lease_until
    assert renewed.lease_until
    with database.write() as connection:
        leases.renew(connection, "w", 60, [renewed.attempt_id])
        suspects = {dead.attempt_id: dead.lease_until, renewed.attempt_id: renewed.lease_until}
        assert attempts.reap(connection, "reaper", suspects) == [dead.attempt_id]
        assert attempts.reap(connection, "reaper", {}) == []
        assert attempts.reap(connection, "reaper") == [other.attempt_id]


def test_an_attempt_keeps_its_last_lines(database: Database) -> None:
    submit(database, new())
    attempt = claimed(database).attempt_id
    moment = datetime.now(UTC)
    lines = [LogLine(number, moment, "stdout", f"line {number}") for number in range(30)]
    with database.write() as connection:
        attempts.report(connection, attempt, logs=lines)
    finish(database, attempt, Outcome(State.FAILED, "exit:1", "no"))
    with database.read() as connection:
        [attempt] = queries.attempts_of(connection, attempt.job_id)
    assert attempt.last_lines == [f"line {number}" for number in range(20, 30)]


def test_success_forgets_the_checkpoints_and_nothing_else(database: Database) -> None:
    [job_id] = submit(database, new())
    attempt = claimed(database).attempt_id
    files = [
        Artifact(name, role, "m", f"file:///{name}", "0" * 64, 1)
        for name, role in (
            ("c1", Role.CHECKPOINT),
            ("c2", Role.CHECKPOINT),
            ("r", "result"),
            ("own", "checkpoint"),
        )
    ]
    with database.write() as connection:
        attempts.report(connection, attempt, artifacts=files)
        assert [c.name for c in queries.checkpoints_of(connection, job_id)] == ["c2", "c1"]
        drop(connection, attempt, files[:1])
        assert [c.name for c in queries.checkpoints_of(connection, job_id)] == ["c2"]
    finish(database, attempt, DONE)
    with database.read() as connection:
        assert [a.name for a in queries.artifacts_of(connection, [job_id])[job_id]] == ["r", "own"]
    with pytest.raises(LeaseLostError), database.write() as connection:
        drop(connection, attempt, files)


def test_a_cancelled_job_is_not_tried_again(database: Database) -> None:
    [job_id] = submit(database, new(max_attempts=3))
    job = claimed(database)
    with database.write() as connection:
        assert jobs.cancel(connection, job_id, "ann").cancel_requested
    finish(database, job.attempt_id, Outcome(State.FAILED, "signal:TERM", "killed", retry=True))
    assert get(database, job_id).state == State.CANCELLED
