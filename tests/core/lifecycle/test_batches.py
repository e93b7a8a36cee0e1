"""Batches: entered as a whole, served in turn, cancelled, stopped and tried again as one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select
from steps import DONE, claim, claimed, finish, get, new, reap_and_promote, submit, take_all

from cvq import queries
from cvq import tables as t
from cvq.batch import Batch, NewBatch
from cvq.db import Database
from cvq.errors import UnknownBatchError, UnknownJobError
from cvq.lifecycle import attempts, batches, retrying
from cvq.records import NewJob, Outcome
from cvq.states import Reason, State

FAILED = Outcome(State.FAILED, "error", "no")


def enter(database: Database, *jobs: NewJob, max_fails: int | None = None) -> int:
    batch = NewBatch("selftest", "ann", {"seed": 7}, len(jobs), max_fails=max_fails)
    with database.write() as connection:
        return batches.submit(connection, batch, jobs)


def look(database: Database, batch_id: int) -> Batch:
    with database.read() as connection:
        return queries.get_batch(connection, batch_id)


def ids(database: Database, batch_id: int, *states: str) -> list[int]:
    with database.read() as connection:
        return queries.ids_of_batch(connection, batch_id, states)


def history(database: Database, job_id: int) -> list[tuple[str, str]]:
    with database.read() as connection:
        return [(event.what, event.by) for event in queries.events_of(connection, job_id)]


def test_a_batch_has_its_jobs_in_order(database: Database) -> None:
    names = [f"item {number}" for number in range(batches._CHUNK + 3)]
    batch_id = enter(database, *(new(name=name, batch_key="k") for name in names))
    with database.read() as connection:
        jobs = queries.get_jobs(connection, ids(database, batch_id))
    assert [job.name for job in jobs] == names
    assert {(job.batch, job.batch_key, job.state) for job in jobs} == {(batch_id, "k", "queued")}
    assert {job.created_at for job in jobs} == {jobs[0].queued_at}
    batch = look(database, batch_id)
    assert (batch.jobs, batch.items, batch.states) == (
        len(names),
        len(names),
        {"queued": len(names)},
    )
    assert (batch.kind, batch.user, batch.spec) == ("selftest", "ann", {"seed": 7})
    for job in (jobs[0], jobs[-1]):
        assert history(database, job.id) == [("submitted", "ann")]


def test_each_job_has_what_it_would_have_by_itself(database: Database) -> None:
    spec = {"größe": [1, 2.0, 1e-7, None, True], "b": {"a": 'x"\\', "c": "日本\u2028"}}
    at = datetime(2030, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    more: dict[str, Any] = {
        "tags": {"ä": "ö"}, "goals": {"loss": "min"}, "headline": ("loss",), "time_limit": 1.5,
        "device": "gpu", "queue": "q", "priority": 7, "max_attempts": 4, "not_before": at,
    }  # fmt: skip
    wanted = [
        replace(new(name=f"ü{number}", **more), spec={**spec, "n": number}, spec_hash=f"{number}")
        for number in range(4)
    ]
    wanted[2] = replace(wanted[2], error="caf\udce9\0 is bad")
    alone = [get(database, number) for number in submit(database, *wanted)]
    batch_id = enter(database, *wanted)
    with database.read() as connection:
        found = queries.get_jobs(connection, ids(database, batch_id))
    for one, other in zip(alone, found, strict=True):
        same = {name: getattr(one, name) for name in ("id", "batch", "created_at", "finished_at")}
        assert replace(other, **same) == one
        assert (other.finished_at is None) is (one.finished_at is None)
        assert json.dumps(other.spec["größe"]) == json.dumps(one.spec["größe"])


def test_an_unknown_batch_is_named(database: Database) -> None:
    with pytest.raises(UnknownBatchError, match=r"^no batch 4711: `cvq batches`"):
        look(database, 4711)


def test_a_submission_that_dies_leaves_nothing(database: Database) -> None:
    def dying() -> Any:
        with database.write() as connection:
            batches.submit(connection, NewBatch("selftest", "ann", {}, 2), [new(), new()])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dying()
    with pytest.raises(UnknownJobError):
        enter(database, new(after=(4711,)), new(after=(4711,)))
    with database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(t.jobs)) == 0
        assert connection.scalar(select(func.count()).select_from(t.batches)) == 0
        assert connection.scalar(select(func.count()).select_from(t.events)) == 0


def test_users_take_turns_with_a_batch(database: Database) -> None:
    [before] = submit(database, new("bob"))
    batch_id = enter(database, *(new() for _ in range(3)), new(error="bad"), new())
    later = submit(database, new("bob"), new("bob"))
    own = ids(database, batch_id, State.QUEUED)
    assert take_all(database) == [before, own[0], own[1], later[0], own[2], later[1], own[3]]


def test_what_is_refused_is_failed_in_its_place(database: Database) -> None:
    batch_id = enter(database, new(), new(error="a.png is empty"), new())
    first, refused, last = ids(database, batch_id)
    job = get(database, refused)
    assert (job.state, job.reason, job.error) == ("failed", "error", "a.png is empty")
    assert (job.attempt, job.finished, job.queued_at) == (0, True, None)
    assert job.finished_at == job.created_at
    assert history(database, refused) == [("submitted", "ann"), ("failed (error)", "ann")]
    assert take_all(database) == [first, last]
    assert look(database, batch_id).failed == 1


def test_a_batch_waits_for_a_job(database: Database) -> None:
    [parent] = submit(database, new())
    batch_id = enter(database, *(new(after=(parent,), error=e) for e in (None, "bad", None)))
    assert look(database, batch_id).states == {"waiting": 2, "failed": 1}
    reap_and_promote(database)
    assert look(database, batch_id).states == {"waiting": 2, "failed": 1}
    finish(database, claimed(database).attempt_id, DONE)
    reap_and_promote(database)
    assert look(database, batch_id).states == {"queued": 2, "failed": 1}
    waited = ids(database, batch_id, State.QUEUED)
    assert history(database, waited[1]) == [("submitted", "ann"), ("queued", "reaper")]
    assert take_all(database) == waited


def test_a_batch_is_cancelled_as_one(database: Database) -> None:
    other = submit(database, new("bob"))
    batch_id = enter(database, *(new() for _ in range(4)))
    take = {claimed(database).id for _ in range(3)} - set(other)
    running, lost = sorted(take)
    with database.write() as connection:
        gone = t.jobs.update().where(t.jobs.c.id == lost)
        connection.execute(gone.values(lease_until=queries.now(-1)))
        assert batches.cancel(connection, batch_id, "eve") == 4
        assert batches.cancel(connection, batch_id, "eve") == 1  # asked again
    assert look(database, batch_id).states == {"running": 1, "cancelled": 3}
    assert get(database, running).cancel_requested
    assert get(database, lost).reason == Reason.WORKER_LOST
    assert get(database, other[0]).state == State.RUNNING
    idle = ids(database, batch_id)[-1]
    told = [("submitted", "ann"), ("cancel requested", "eve"), ("cancelled", "eve")]
    assert history(database, idle) == told
    finish(database, get(database, running).attempt_id, Outcome(State.CANCELLED))
    assert look(database, batch_id).finished


def test_too_many_failures_stop_the_rest(database: Database) -> None:
    batch_id = enter(database, *(new(max_attempts=1) for _ in range(5)), max_fails=2)
    first, second, third = (claimed(database) for _ in range(3))
    finish(database, first.attempt_id, FAILED)
    assert look(database, batch_id).states == {"failed": 1, "running": 2, "queued": 2}
    finish(database, second.attempt_id, FAILED)
    assert look(database, batch_id).states == {"failed": 2, "running": 1, "cancelled": 2}
    assert get(database, third.id).cancel_requested
    stopped = ids(database, batch_id, State.CANCELLED)[0]
    assert history(database, stopped)[-1] == ("cancelled", f"the failures of batch {batch_id}")
    finish(database, third.attempt_id, DONE)  # it was quicker
    assert look(database, batch_id).states == {"failed": 2, "succeeded": 1, "cancelled": 2}


def test_a_number_of_an_answer_is_no_failure(database: Database) -> None:
    batch_id = enter(database, new(), new(), max_fails=1)
    seen = Outcome(State.SUCCEEDED, result={"passed": 10, "failed": 2})
    finish(database, claimed(database).attempt_id, seen)
    assert look(database, batch_id).states == {"succeeded": 1, "queued": 1}


def test_failures_at_once_stop_the_rest(database: Database) -> None:
    batch_id = enter(database, *(new(max_attempts=1) for _ in range(4)), max_fails=2)
    first, second = (claimed(database).attempt_id for _ in range(2))
    with database.write() as connection:
        attempts.finish_batch(connection, {first: FAILED, second: FAILED}, "w")
    assert look(database, batch_id).states == {"failed": 2, "cancelled": 2}


def test_failures_without_a_limit_and_of_others_stop_nothing(database: Database) -> None:
    limited = enter(database, new(), new(), max_fails=1)
    batch_id = enter(database, *(new("bob") for _ in range(3)))
    for _ in range(2):
        while (job := claimed(database)).batch == limited:
            pass
        finish(database, job.attempt_id, FAILED)
    assert look(database, batch_id).states == {"failed": 2, "queued": 1}
    assert State.CANCELLED not in look(database, limited).states


def test_refusals_count_as_failures(database: Database) -> None:
    bad = new(error="bad")
    batch_id = enter(database, new(), bad, new(), bad, max_fails=2)
    assert look(database, batch_id).states == {"failed": 2, "cancelled": 2}


def test_lost_workers_count_as_failures(database: Database) -> None:
    batch_id = enter(database, *(new(max_attempts=1) for _ in range(3)), max_fails=1)
    claimed(database, lease=-1.0)
    reap_and_promote(database)
    assert look(database, batch_id).states == {"failed": 1, "cancelled": 2}


def test_failed_parents_count_once_for_all_children(database: Database) -> None:
    [parent] = submit(database, new(max_attempts=1))
    batch_id = enter(database, *(new(after=(parent,)) for _ in range(3)), max_fails=1)
    finish(database, claimed(database).attempt_id, FAILED)
    reap_and_promote(database)
    assert look(database, batch_id).states == {"failed": 3}


def test_what_failed_is_tried_again_as_the_same_job(database: Database) -> None:
    batch_id = enter(database, *(new(max_attempts=1) for _ in range(3)), new(error="bad"))
    good, bad, rest = (claimed(database) for _ in range(3))
    finish(database, good.attempt_id, DONE)
    finish(database, bad.attempt_id, FAILED)
    with database.write() as connection:
        assert retrying.retry_batch(connection, batch_id, [State.FAILED], "ann") == {
            bad.id: "default"
        }
    assert look(database, batch_id).states == {
        "succeeded": 1, "queued": 1, "running": 1, "failed": 1,
    }  # fmt: skip
    again = claimed(database)
    assert (again.id, again.attempt, again.error) == (bad.id, 2, None)
    finish(database, again.attempt_id, DONE)
    finish(database, rest.attempt_id, DONE)
    assert claim(database) is None
    assert look(database, batch_id).states == {"succeeded": 3, "failed": 1}
    told = [what for what, _ in history(database, bad.id)]
    assert told[-4:] == ["to be tried again", "queued", "attempt 2 started", "attempt 2 succeeded"]


def test_what_was_cancelled_is_tried_again_where_that_is_asked(database: Database) -> None:
    batch_id = enter(database, new(), new())
    with database.write() as connection:
        batches.cancel(connection, batch_id, "ann")
        assert retrying.retry_batch(connection, batch_id, [State.FAILED], "ann") == {}
        assert len(retrying.retry_batch(connection, batch_id, [State.CANCELLED], "ann")) == 2
    assert take_all(database) == ids(database, batch_id)
    assert look(database, batch_id).states == {"succeeded": 2}


def test_a_retry_waits_for_its_parents_again(database: Database) -> None:
    [parent] = submit(database, new(max_attempts=1))
    batch_id = enter(database, new(after=(parent,)))
    finish(database, claimed(database).attempt_id, FAILED)
    reap_and_promote(database)
    with database.write() as connection:
        retrying.retry_batch(connection, batch_id, [State.FAILED], "ann")
    assert look(database, batch_id).states == {"failed": 1}  # as its parent still is
