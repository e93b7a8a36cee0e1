"""Identical work is done once: who computes, who shares, and who runs where that went wrong."""

from __future__ import annotations

import hashlib
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text
from steps import QUEUE, claims, finish, get, submit

from cvq import queries
from cvq import tables as t
from cvq.db import Database
from cvq.explain.explanation import explain
from cvq.ids import AttemptId
from cvq.lifecycle import attempts, jobs, twins
from cvq.records import Artifact, Job, MetricPoint, NewJob, Outcome
from cvq.states import Reason, Role, State
from cvq.views.curves import points_of
from cvq.views.outlines import outlines_of

SAME = "a" * 64
FAILED = Outcome(State.FAILED, Reason.ERROR, "no")
RESULT = Outcome(State.SUCCEEDED, result={"answer": "a shoe", "probability": 0.5})


def new(code: str = "c1", **values: Any) -> NewJob:
    return NewJob(
        kind="selftest", spec={"seed": 7}, spec_hash="0" * 64, identity=SAME,
        origin={"code": code}, **{"user": "ann", **values},
    )  # fmt: skip


def twin(database: Database, job: NewJob | None = None) -> Job:
    """Submit a job that may share."""
    with database.write() as connection:
        job_id = jobs.submit(connection, job or new(), [SAME])
    return get(database, job_id)


def begin(database: Database, code: str = "c1") -> Job:
    with database.write() as connection:
        return claims.claim_batch(
            connection, worker="w", host="h", queues=[QUEUE], token=uuid.uuid4().hex, lease=60.0,
            versions={"python": "3"}, again=False, code=lambda _: code,
        )[0]  # fmt: skip


def none_to_claim(database: Database) -> bool:
    with database.write() as connection:
        return not claims.claim_batch(
            connection, worker="w", host="h", queues=[QUEUE], token="none", lease=60.0
        )


def promote(database: Database) -> int:
    with database.write() as connection:
        return jobs.promote(connection, "w")


def leave(database: Database, attempt: AttemptId) -> None:
    """What an attempt reports on its way."""
    files = [
        Artifact(
            "out.png", Role.RESULT, "image/png", "file:///s/jobs/1/1/out.png", "f" * 64, 9, 1
        ),
        Artifact("step-1", Role.CHECKPOINT, "x/y", "file:///s/jobs/1/1/step-1", "e" * 64, 9, 1),
    ]
    points = [MetricPoint("loss", step, 1.0 / step, datetime.now(UTC)) for step in (1, 2)]
    with database.write() as connection:
        attempts.report(connection, attempt, artifacts=files, metrics=points)


def done(database: Database) -> Job:
    """A job that has computed."""
    first = twin(database)
    attempt = begin(database).attempt_id
    leave(database, attempt)
    finish(database, attempt, RESULT)
    return get(database, first.id)


def rows(database: Database, table: Any, job_id: int) -> list[tuple[Any, ...]]:
    columns = [c for c in table.c if c.name not in ("id", "job_id")]
    with database.read() as connection:
        found = connection.execute(select(*columns).where(table.c.job_id == job_id))
        return sorted((tuple(row) for row in found), key=repr)


def events(database: Database, job_id: int) -> list[str]:
    with database.read() as connection:
        return [event.what for event in queries.events_of(connection, job_id)]


def why(database: Database, job_id: int) -> str:
    with database.read() as connection:
        found = explain(connection, queries.get_job(connection, job_id))
        return " ".join([found.why, *found.advice])


def test_what_was_computed_is_there_at_once(database: Database) -> None:
    first = done(database)
    same = twin(database, new(user="ben", name="again", priority=9))
    assert (same.state, same.twin_of, same.attempt) == (State.SUCCEEDED, first.id, 0)
    assert (same.result, same.metrics) == (first.result, first.metrics)
    assert (same.user, same.name) == ("ben", "again")
    assert same.finished_at is not None
    assert same.started_at is same.queued_at is None
    assert rows(database, t.summaries, same.id) == rows(database, t.summaries, first.id) != []
    assert [row[1] for row in rows(database, t.artifacts, same.id)] == ["out.png"]
    texts = [row for row in rows(database, t.attributes, same.id) if row[0] == "result"]
    assert texts == [("result", "answer", None, "a shoe")]
    assert f"the same as job {first.id}" in why(database, same.id)
    # Of a third the first of all is the origin, too.
    assert twin(database).twin_of == first.id
    # The points stand under the job that wrote them, and are each one's own to a reader.
    with database.read() as connection:
        for job in (first, same):
            [seen] = outlines_of(connection, job.id)
            assert (seen.job_id, seen.name, seen.values) == (job.id, "loss", [1.0, 0.5])
            points = points_of(connection, job.id, names=["loss"])
            assert [(each.job_id, each.value) for each in points] == [(job.id, 1), (job.id, 0.5)]
    assert none_to_claim(database)


def test_those_that_come_meanwhile_wait_and_share(database: Database) -> None:
    first = twin(database)
    assert first.state == State.QUEUED
    before = twin(database)
    attempt = begin(database).attempt_id
    after = twin(database)
    assert before.state == after.state == State.WAITING
    assert none_to_claim(database)
    assert promote(database) == 0
    assert f"It does the same as job {first.id} (running)" in why(database, after.id)
    with database.read() as connection:
        assert [job.id for job in queries.awaited_by(connection, after.id)] == [first.id]
    leave(database, attempt)
    finish(database, attempt, RESULT)
    assert promote(database) == 0
    for each in (before, after):
        ended = get(database, each.id)
        assert (ended.state, ended.result) == (State.SUCCEEDED, RESULT.result)
        assert events(database, each.id)[-1] == f"succeeded: the same as job {first.id}"


@pytest.mark.parametrize("end", ["failed", "cancelled", "gone"])
def test_one_of_them_runs_where_the_first_gives_no_result(database: Database, end: str) -> None:
    first = twin(database)
    second, third = twin(database).id, twin(database).id
    with database.write() as connection:
        if end == "cancelled":
            jobs.cancel(connection, first.id, "ann")
        if end == "gone":
            connection.execute(t.jobs.delete().where(t.jobs.c.id == first.id))
    if end == "failed":
        finish(database, begin(database).attempt_id, FAILED)
    assert promote(database) == 1
    assert get(database, second).state == State.QUEUED
    assert (get(database, third).state, get(database, third).twin_of) == (State.WAITING, second)
    assert promote(database) == 0
    assert twin(database).twin_of == second
    running = begin(database)
    assert running.id == second
    finish(database, running.attempt_id, RESULT)
    promote(database)
    assert get(database, third).twin_of == second
    assert get(database, third).state == State.SUCCEEDED
    assert get(database, second).twin_of is None


def test_a_job_that_is_being_cancelled_is_waited_for_no_more(database: Database) -> None:
    first = twin(database)
    running = begin(database)
    with database.write() as connection:
        jobs.cancel(connection, first.id, "ann")
    second = twin(database)
    assert (second.state, second.twin_of) == (State.QUEUED, None)
    finish(database, running.attempt_id, Outcome(State.CANCELLED))


def test_a_twin_that_is_cancelled_takes_nothing_with_it(database: Database) -> None:
    first, second = twin(database), twin(database)
    with database.write() as connection:
        assert jobs.cancel(connection, second.id, "ben").state == State.CANCELLED
    assert get(database, first.id).state == State.QUEUED
    finish(database, begin(database).attempt_id, RESULT)
    promote(database)
    assert get(database, second.id).state == State.CANCELLED


def test_a_first_that_is_tried_again_is_waited_for(database: Database) -> None:
    twin(database)
    second = twin(database)
    finish(database, begin(database).attempt_id, Outcome(State.FAILED, "oom", "no", retry=True))
    assert twin(database).state == State.WAITING
    promote(database)
    assert get(database, second.id).state == State.WAITING
    finish(database, begin(database).attempt_id, RESULT)
    promote(database)
    assert get(database, second.id).state == State.SUCCEEDED


def test_other_code_has_other_answers(database: Database) -> None:
    """The identity says which code was wanted; what an attempt has run may be another."""
    twin(database)
    running = begin(database, code="c2")
    second = twin(database)
    assert (second.state, second.twin_of) == (State.QUEUED, None)
    finish(database, running.attempt_id, RESULT)
    third = twin(database)
    assert (third.state, third.twin_of) == (State.WAITING, second.id)
    finish(database, begin(database).attempt_id, RESULT)
    assert twin(database).twin_of == second.id


def test_twins_of_a_job_that_other_code_has_run_do_so_themselves(database: Database) -> None:
    twin(database)
    second, third = twin(database), twin(database)
    finish(database, begin(database, code="c2").attempt_id, RESULT)
    assert promote(database) == 1
    assert get(database, second.id).state == State.QUEUED
    assert get(database, third.id).twin_of == second.id


def test_nobody_waits_for_what_begins_later_than_it_would_itself(database: Database) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    twin(database, new(not_before=tomorrow))
    other = twin(database, new(queue="elsewhere"))
    assert (other.state, other.twin_of) == (State.QUEUED, None)
    parent = submit(database, _other())[0]
    twin(database, new(after=(parent,)))
    mine = twin(database)
    assert (mine.state, mine.twin_of) == (State.QUEUED, None)


def _other() -> NewJob:
    return NewJob(kind="selftest", spec={}, spec_hash="0" * 64, user="ann")


def test_those_that_wait_for_the_same_job_are_twins(database: Database) -> None:
    parent = submit(database, _other())[0]
    first, second = twin(database, new(after=(parent,))), twin(database, new(after=(parent,)))
    assert (second.state, second.twin_of) == (State.WAITING, first.id)
    finish(database, begin(database).attempt_id, RESULT)  # the parent
    assert promote(database) == 1
    assert begin(database).id == first.id
    assert none_to_claim(database)


def test_a_twin_ends_no_sooner_than_it_was_to_begin(database: Database) -> None:
    done(database)
    parent = submit(database, _other())[0]
    late = twin(database, new(after=(parent,)))
    promote(database)
    assert get(database, late.id).state == State.WAITING
    finish(database, begin(database).attempt_id, RESULT)
    promote(database)
    assert get(database, late.id).state == State.SUCCEEDED


def test_a_first_takes_the_turn_of_the_more_urgent(database: Database) -> None:
    submit(database, *[_other() for _ in range(3)])
    first = twin(database, new(priority=1))
    urgent = twin(database, new(priority=9))
    assert get(database, first.id).priority == 9
    assert f"priority 9: job {urgent.id}, which does the same, waits for it" in events(
        database, first.id
    )
    assert begin(database).id == first.id


def test_a_twin_outlives_the_one_that_has_computed(database: Database) -> None:
    first, second = done(database), twin(database)
    with database.write() as connection:
        connection.execute(t.jobs.delete().where(t.jobs.c.id == first.id))
    third = twin(database)
    assert (third.state, third.twin_of) == (State.SUCCEEDED, first.id)
    assert third.result == second.result
    assert rows(database, t.artifacts, third.id) == rows(database, t.artifacts, second.id) != []


def test_what_is_in_the_trash_is_shared_with_nobody(database: Database) -> None:
    first = done(database)
    with database.write() as connection:
        connection.execute(
            t.jobs.update().where(t.jobs.c.id == first.id).values(trashed_at=datetime.now(UTC))
        )
    assert twin(database).state == State.QUEUED


def test_of_many_that_are_submitted_at_once_one_computes(database: Database) -> None:
    barrier = threading.Barrier(8)

    def send(_: int) -> list[Job]:
        barrier.wait()
        return [twin(database) for _ in range(3)]

    with ThreadPoolExecutor(8) as pool:
        sent = [job for mine in pool.map(send, range(8)) for job in mine]
    queued = [job for job in sent if job.state == State.QUEUED]
    assert len(queued) == 1
    assert {job.twin_of for job in sent} == {None, queued[0].id}


def test_of_many_that_look_after_it_at_once_each_lets_one_run(database: Database) -> None:
    first = twin(database)
    waiting = [twin(database) for _ in range(12)]
    for _ in range(4):
        finish(database, begin(database).attempt_id, FAILED)
        barrier = threading.Barrier(5)

        def look(n: int, barrier: threading.Barrier = barrier) -> Job | None:
            barrier.wait()
            return twin(database) if n == 0 else (promote(database), None)[1]

        with ThreadPoolExecutor(5) as pool:
            waiting += [job for job in pool.map(look, range(5)) if job is not None]
        promote(database)
        states = [get(database, job.id).state for job in waiting]
        assert states.count(State.QUEUED) == 1, states
    assert get(database, first.id).state == State.FAILED
    finish(database, begin(database).attempt_id, RESULT)
    promote(database)
    states = [get(database, job.id).state for job in waiting]
    assert states.count(State.FAILED) == 3
    assert states.count(State.SUCCEEDED) == len(waiting) - 3


def test_a_transaction_holds_few_locks_however_many_identities_it_has(database: Database) -> None:
    many = [hashlib.sha256(str(nth).encode()).hexdigest() for nth in range(3_000)]
    with database.write() as connection:
        twins.lock(connection, [])
        twins.lock(connection, many)
        assert twins._try_lock(connection, many[0])
        if not database.is_sqlite:
            held = connection.scalar(text(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' "
                "AND pid = pg_backend_pid()"
            ))  # fmt: skip
            assert held == 256
            with database.write() as other:
                assert not twins._try_lock(other, many[0])
