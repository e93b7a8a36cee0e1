"""Jobs that have ended and not succeeded are queued again, as the jobs that they are."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import update
from steps import claimed, finish, get, new, submit, take_all

from cvq import queries
from cvq import tables as t
from cvq.db import Database
from cvq.lifecycle import attempts, jobs, retrying
from cvq.records import Artifact, Outcome
from cvq.states import Role, State

DONE = Outcome(State.SUCCEEDED)
FAILED = Outcome(State.FAILED, reason="error", error="boom", retry=False)


def retry(database: Database, *job_ids: int) -> dict[int, str]:
    with database.write() as connection:
        return retrying.retry(connection, job_ids, "ann")


def promote(database: Database) -> None:
    with database.write() as connection:
        jobs.promote(connection, "w")


def cancel(database: Database, job_id: int) -> None:
    with database.write() as connection:
        jobs.cancel(connection, job_id, "ann")


def test_a_failed_job_goes_on_from_its_checkpoint(database: Database) -> None:
    [job_id] = submit(database, new(max_attempts=1))
    attempt = claimed(database).attempt_id
    step = Artifact("step-1", Role.CHECKPOINT, "x/y", "file:///s/step-1", "e" * 64, 9, 1)
    with database.write() as connection:
        attempts.report(connection, attempt, artifacts=[step])
    finish(database, attempt, FAILED)
    assert retry(database, job_id) == {job_id: "default"}
    assert retry(database, job_id) == {}, "it is queued already"
    again = claimed(database)
    assert (again.id, again.attempt, again.reason, again.error) == (job_id, 2, None, None)
    with database.read() as connection:
        left = queries.artifacts_of(connection, [job_id])[job_id]
    assert [file.name for file in left] == ["step-1"]
    finish(database, again.attempt_id, DONE)
    assert retry(database, job_id) == {}
    said = f"job {job_id} has succeeded: `cvq rerun {job_id}` runs it anew"
    assert retrying.why_not(get(database, job_id)) == said


def test_what_is_in_the_trash_stays_there(database: Database) -> None:
    [job_id] = submit(database, new())
    cancel(database, job_id)
    with database.write() as connection:
        connection.execute(update(t.jobs).values(trashed_at=datetime.now(UTC)))
    assert retry(database, job_id) == {}
    assert f"`cvq restore {job_id}`" in (retrying.why_not(get(database, job_id)) or "")


def test_parents_and_children_are_tried_again_together(database: Database) -> None:
    [parent] = submit(database, new(max_attempts=1))
    [child] = submit(database, new(after=(parent,)))
    finish(database, claimed(database).attempt_id, FAILED)
    promote(database)
    assert get(database, child).reason == "dependency-failed"
    assert retry(database, child, parent) == {parent: "default", child: "default"}
    finish(database, claimed(database).attempt_id, DONE)
    promote(database)
    assert take_all(database) == [child]


def test_a_twin_that_was_cancelled_waits_for_its_job_again(database: Database) -> None:
    alike = new(identity="same", max_attempts=1)
    with database.write() as connection:
        first, second = (jobs.submit(connection, alike, share=["same"]) for _ in range(2))
    cancel(database, second)
    retry(database, second)
    assert (get(database, second).state, get(database, second).twin_of) == (State.WAITING, first)
    finish(database, claimed(database).attempt_id, FAILED)
    promote(database)
    assert (get(database, second).state, get(database, second).twin_of) == (State.QUEUED, None)
