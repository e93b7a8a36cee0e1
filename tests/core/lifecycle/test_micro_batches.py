"""Jobs of one batch key are taken together and ended together, each for itself."""

from __future__ import annotations

import math
from typing import Any

import pytest
from plans import sqlite_plans
from sqlalchemy import insert, select, update
from steps import QUEUE, claim, claimed, finish, get, new, submit

from cvq import tables as t
from cvq.db import Database
from cvq.ids import AttemptId
from cvq.lifecycle import attempts, claims, order
from cvq.records import EncodedJson, Job, MetricPoint, Outcome
from cvq.states import State
from cvq.tables import UNREADABLE_TIME


def batched(**given: Any) -> Any:
    return new(**{"batch_key": "a"} | given)


def take(database: Database, most: int = 256, **given: Any) -> list[Job]:
    asked = {"worker": "w", "host": "h", "queues": [QUEUE], "token": "t1", "lease": 60.0} | given
    with database.write() as connection:
        return claims.claim_batch(connection, most=most, **asked)


def ids(jobs: list[Job]) -> list[int]:
    return [job.id for job in jobs]


def test_jobs_of_one_key_are_taken_together_in_their_order(database: Database) -> None:
    first, other, third, alone, last = submit(
        database, batched(), batched(batch_key="b"), batched(), new(), batched()
    )
    assert ids(take(database)) == [first, third, last]
    assert ids(take(database, token="t2")) == [other]
    assert ids(take(database, token="t3")) == [alone]
    assert take(database, token="t4") == []


def test_no_more_are_taken_than_asked_for(database: Database) -> None:
    jobs = submit(database, *[batched() for _ in range(5)])
    assert ids(take(database, most=3)) == jobs[:3]
    assert ids(take(database, most=1, token="t2")) == jobs[3:4]


@pytest.mark.parametrize("known", [0, 1_000_000])
def test_shards_count_with_the_items_that_they_hold(database: Database, known: int) -> None:
    with database.write() as connection:
        batch = connection.scalar(
            insert(t.batches)
            .values(
                kind="selftest", user="ann", spec={}, jobs=4, items=398 + known, known=known,
                created_at=UNREADABLE_TIME,
            )
            .returning(t.batches.c.id)
        )  # fmt: skip
    jobs = submit(database, *[batched(batch=batch) for _ in range(4)])
    assert ids(take(database)) == jobs[:2]
    assert ids(take(database, most=50, token="t2")) == jobs[2:3]


def test_what_is_more_urgent_or_needs_something_else_is_not_taken_along(
    database: Database,
) -> None:
    low, high, gpu, high_too = submit(
        database, batched(priority=1), batched(priority=7), batched(priority=7, device="gpu"),
        batched(priority=7),
    )  # fmt: skip
    assert ids(take(database)) == [high, high_too]
    assert ids(take(database, token="t2")) == [gpu]
    assert ids(take(database, token="t3")) == [low]


def test_a_claim_asked_for_again_gives_the_same_jobs(database: Database) -> None:
    jobs = submit(database, *[batched() for _ in range(3)])
    assert ids(take(database, most=2)) == ids(take(database)) == jobs[:2]
    assert {get(database, job).attempt for job in jobs[:2]} == {1}


def test_attempts_say_what_they_ran_with(database: Database) -> None:
    jobs = submit(database, batched(), batched(), new())
    take(database)
    take(database, token="t2")
    a = t.attempts.c
    with database.read() as connection:
        rows = connection.execute(select(a.job_id, a.micro_batch, a.micro_batch_size)).all()
    first, second, alone = jobs
    assert sorted(map(tuple, rows)) == [
        (first, "t1", 2), (second, "t1", 2), (alone, None, None)
    ]  # fmt: skip


def test_a_damaged_companion_fails_by_itself(database: Database) -> None:
    first, damaged, last = submit(database, batched(), batched(), batched())
    with database.write() as connection:
        connection.execute(update(t.jobs).where(t.jobs.c.id == damaged).values(spec=["none"]))
    assert ids(take(database)) == [first, last]
    assert get(database, damaged).state == "failed"
    assert "cannot be started" in (get(database, damaged).error or "")


def test_a_resident_model_comes_first_among_the_next(database: Database) -> None:
    cold = submit(database, *[batched(batch_key=f"cold {n}") for n in range(claims.LOOK_AHEAD)])
    (near,) = submit(database, batched(batch_key="warm"))
    assert ids(take(database, resident={"warm"})) == cold[:1]  # too far ahead
    assert ids(take(database, resident={"warm"}, token="t2")) == [near]
    assert ids(take(database, resident={"warm"}, token="t3")) == cold[1:2]


def test_a_resident_model_overtakes_nothing_that_is_more_urgent(database: Database) -> None:
    warm, cold, urgent = submit(
        database, batched(batch_key="warm"), batched(batch_key="cold"), new(priority=9)
    )
    assert ids(take(database, resident={"warm"})) == [urgent]
    assert ids(take(database, resident={"cold"}, token="t2")) == [cold]
    assert ids(take(database, resident={"cold"}, token="t3")) == [warm]


# ---------------------------------------------------------------------------- their ends


def ends() -> list[Outcome]:
    return [
        Outcome("succeeded", result={"class": "boot", "probability": 0.75, "deep": {"x": 1}}),
        Outcome("succeeded", result={"loss": 0.5, "nan": math.nan, "text": "\x00"}),
        Outcome("succeeded", result=EncodedJson('{"n": 3}', {"n": 3.0})),
        Outcome("failed", "error", "it is no picture", "Traceback"),
        Outcome("failed", "signal:SEGV", "it crashed", retry=True),
        Outcome("queued", "preempted"),
        Outcome("cancelled"),
    ]


def test_many_end_as_each_would_by_itself(database: Database) -> None:
    outcomes = ends()
    each = submit(database, *[batched(batch_key="each") for _ in outcomes])
    together = submit(database, *[batched(batch_key="together") for _ in outcomes])
    for token, wanted in (("t1", each), ("t2", together)):
        jobs = take(database, token=token)
        assert ids(jobs) == wanted
        with database.write() as connection:  # it told a loss before its result did
            point = MetricPoint("loss", 1, 0.9, jobs[1].created_at)
            attempts.report(connection, jobs[1].attempt_id, metrics=[point])
    for job, outcome in zip(each, outcomes, strict=True):
        with database.write() as connection:
            attempts.finish(connection, AttemptId(job, 1), outcome, "w")
    with database.write() as connection:
        ended = dict(zip((AttemptId(job, 1) for job in together), outcomes, strict=True))
        states = attempts.finish_batch(connection, ended, "w")
    assert [states[AttemptId(job, 1)] for job in together] == [
        get(database, job).state for job in each
    ]
    for one, other in zip(each, together, strict=True):
        assert left_of(database, one) == left_of(database, other)


def left_of(database: Database, job_id: int) -> list[list[dict[str, Any]]]:
    """All rows of a job, without what tells it from another like it."""
    own = {
        "id", "job_id", "time", "created_at", "queued_at", "started_at", "finished_at",
        "not_before", "fair_rank", "batch_key", "micro_batch",
    }  # fmt: skip
    tables = (t.jobs, t.attempts, t.events, t.summaries, t.metrics)
    rows = []
    with database.read() as connection:
        for table in tables:
            owner = table.c.id if table is t.jobs else table.c.job_id
            found = connection.execute(select(table).where(owner == job_id)).mappings().all()
            kept = [{key: row[key] for key in row if key not in own} for row in found]
            rows.append(sorted(kept, key=str))
    return rows


def test_what_was_lost_meanwhile_is_left_out(database: Database) -> None:
    lost, mine = submit(database, batched(), batched())
    take(database)
    finish(database, AttemptId(lost, 1), Outcome("queued", "preempted"))
    assert claimed(database).id == lost
    ended = {AttemptId(job, 1): Outcome("succeeded", result={"n": 1}) for job in (lost, mine)}
    with database.write() as connection:
        assert attempts.finish_batch(connection, ended, "w") == {AttemptId(mine, 1): "succeeded"}
    assert get(database, lost).state == "running"
    assert get(database, lost).result is None


def test_an_end_whose_answer_was_lost_is_told_again(database: Database) -> None:
    jobs = submit(database, batched(), batched())
    take(database)
    ended = {AttemptId(job, 1): Outcome("succeeded", result={"n": 1}) for job in jobs}
    for again in (False, True):
        with database.write() as connection:
            states = attempts.finish_batch(connection, ended, "w", again=again)
        assert set(states.values()) == {"succeeded"}
        assert len(states) == 2


@pytest.mark.parametrize("most", [0, -3])
def test_one_is_always_taken(database: Database, most: int) -> None:
    jobs = submit(database, batched(), batched())
    assert ids(take(database, most=most)) == jobs[:1]
    assert claim(database) is not None


def test_nobody_takes_a_companion_from_under_another(database: Database) -> None:
    jobs = submit(database, *[batched() for _ in range(4)])
    if database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    with database.write() as connection:
        place = order.Place(QUEUE, needs(database, jobs[0]))
        assert connection.scalar(order.next_at(place).with_for_update()) == jobs[0]
        assert ids(take(database)) == jobs[1:]


def needs(database: Database, job_id: int) -> str:
    with database.read() as connection:
        return str(connection.scalar(select(t.jobs.c.needs).where(t.jobs.c.id == job_id)))


def test_nothing_reads_all_jobs_to_begin_or_end_some(database: Database) -> None:
    if not database.is_sqlite:
        pytest.skip("Postgres plans by how many rows there are")

    def act() -> None:
        taken = take(database)
        assert len(taken) == 4
        with database.write() as connection:
            done = {job.attempt_id: Outcome(State.SUCCEEDED, result={"n": 1}) for job in taken}
            assert len(attempts.finish_batch(connection, done, "w")) == 4

    submit(database, *[batched() for _ in range(4)])
    plans = sqlite_plans(database, act)
    assert any("SCAN json_each" in step for step in plans)
    tables = "jobs", "attempts", "events", "artifacts", "summaries"
    assert not [
        step for step in plans if step.startswith(tuple(f"SCAN {name}" for name in tables))
    ]
