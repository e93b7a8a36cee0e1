"""Files that a job no longer needs are forgotten, and those that may still be read are not."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select
from steps import DONE, claimed, finish, new, submit

from cvq import tables as t
from cvq.db import Database
from cvq.errors import LeaseLostError
from cvq.ids import AttemptId
from cvq.lifecycle import attempts
from cvq.lifecycle.artifacts import drop_replaced
from cvq.records import Artifact
from cvq.states import Role


def left(
    database: Database,
    attempt: AttemptId,
    uri: str,
    name: str = "sketch",
    *,
    role: str = "plot",
    age: float = 60.0,
) -> Artifact:
    """A file that an attempt has left, `age` seconds ago."""
    file = Artifact(name, role, "image/png", uri, "0" * 64, 1, attempt.attempt)
    with database.write() as connection:
        attempts.report(connection, attempt, artifacts=[file])
        newest = t.artifacts.c.id == select(func.max(t.artifacts.c.id)).scalar_subquery()
        connection.execute(t.artifacts.update().where(newest).values(created_at=t.now(-age)))
    return file


def replaced(database: Database, attempt: AttemptId, grace: float = 30.0) -> list[Artifact]:
    with database.write() as connection:
        return drop_replaced(connection, attempt, grace)


def kept(database: Database, job_id: int) -> list[str]:
    with database.read() as connection:
        files = select(t.artifacts.c.uri).where(t.artifacts.c.job_id == job_id)
        return list(connection.scalars(files.order_by(t.artifacts.c.id)))


def test_only_the_latest_file_of_a_name_is_kept(database: Database) -> None:
    submit(database, new())
    attempt = claimed(database).attempt_id
    first, second, _ = (left(database, attempt, uri) for uri in "abc")
    left(database, attempt, "d", "another")
    assert replaced(database, attempt) == [second, first]
    assert kept(database, attempt.job_id) == ["c", "d"]
    assert replaced(database, attempt) == []


def test_a_file_is_kept_until_its_successor_is_old_enough(database: Database) -> None:
    submit(database, new())
    attempt = claimed(database).attempt_id
    first = left(database, attempt, "a", age=90)
    left(database, attempt, "b", age=60)
    left(database, attempt, "c", age=0)
    assert replaced(database, attempt) == [first]
    assert kept(database, attempt.job_id) == ["b", "c"]


def test_a_new_attempt_replaces_what_earlier_ones_have_left(database: Database) -> None:
    submit(database, new(max_attempts=2))
    first = claimed(database, lease=-1.0).attempt_id
    old = left(database, first, "a")
    with database.write() as connection:
        attempts.reap(connection, "reaper")
        connection.execute(t.jobs.update().values(state="queued"))
    second = claimed(database).attempt_id
    left(database, second, "b")
    assert replaced(database, second) == [old]
    assert kept(database, second.job_id) == ["b"]


def test_what_a_later_row_still_points_to_is_not_removed(database: Database) -> None:
    submit(database, new())
    attempt = claimed(database).attempt_id
    for _ in range(2):
        left(database, attempt, "same")
    assert replaced(database, attempt) == []
    assert kept(database, attempt.job_id) == ["same"]


def test_checkpoints_and_other_jobs_are_left_alone(database: Database) -> None:
    submit(database, new(), new())
    mine, other = (claimed(database).attempt_id for _ in range(2))
    for uri in "ab":
        left(database, mine, f"checkpoint-{uri}", role=Role.CHECKPOINT)
        left(database, other, f"other-{uri}")
    assert replaced(database, mine) == []
    assert kept(database, mine.job_id) == ["checkpoint-a", "checkpoint-b"]
    assert kept(database, other.job_id) == ["other-a", "other-b"]


def test_who_has_lost_the_lease_forgets_nothing(database: Database) -> None:
    submit(database, new())
    attempt = claimed(database).attempt_id
    for uri in "ab":
        left(database, attempt, uri)
    finish(database, attempt, DONE)
    with pytest.raises(LeaseLostError):
        replaced(database, attempt)
    assert kept(database, attempt.job_id) == ["a", "b"]
