"""Rows that hold what they cannot: each costs its own job and no other."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from steps import DONE, KINDS, QUEUE, claim, claimed, finish, get, new, registered, submit

from cvq import queries
from cvq import tables as t
from cvq.db import Database
from cvq.errors import DatabaseError, UsageError
from cvq.explain.explanation import explain
from cvq.lifecycle import attempts, claims, jobs, leases, order
from cvq.matching import Candidates, Needs, Offer
from cvq.records import Job, MetricPoint, NewJob
from cvq.states import State
from cvq.views import filters, shapes, spelling

_NO_UTF8 = "CAST(CAST(X'41ff' AS BLOB) AS TEXT)"  # in a way that Postgres does not know
_DAMAGE = {
    "spec is a list": "spec='[1]'",
    "spec is null": "spec='null'",
    "spec is no JSON": "spec='{oops'",
    "time limit is no number": "time_limit='abc'",
    "retries are no number": "max_attempts='many'",
    "kind is bytes": "kind=CAST(X'ff' AS BLOB)",
    "device is bytes": "device=CAST(X'ff' AS BLOB)",
    **{f"{column} is no UTF-8": f"{column}={_NO_UTF8}" for column in ("kind", "device", "spec")},
}
_BEARABLE = {
    "tags are a number": "tags='7'",
    "tags are no JSON": "tags='{oops'",
    "metrics are no JSON": "metrics='oops'",
    "created some time": "created_at='yesterday'",
    "queued some time": "queued_at='yesterday'",
    "result is no JSON": "result='{'",
    "rank is a word": "fair_rank='x'",
    "rank is the last there is": "fair_rank=9223372036854775807",
    "rank is infinite": "fair_rank=1e999",
    "rank is bytes": "fair_rank=CAST(X'ff' AS BLOB)",
    "priority is a word": "priority='x'",
    "priority is bytes": "priority=CAST(X'ff' AS BLOB)",
    "needs are bytes": "needs=CAST(X'ff' AS BLOB)",
    "needs are a broken word": "needs=char(0) || 'x'",
    "user is bytes": "\"user\"=CAST(X'ff' AS BLOB)",
    "attempt is a word": "attempt='x'",
    "attempt is bytes": "attempt=CAST(X'ff' AS BLOB)",
    "name is bytes": "name=CAST(X'ff' AS BLOB)",
    **{
        f"{column} is no UTF-8": f'"{column}"={_NO_UTF8}'
        for column in ("name", "user", "needs", "tags", "metrics", "spec_hash", "created_at")
    },
}


def damaged(database: Database, column: str) -> int:
    """A queued job, a column of which holds what it cannot; skipped where the database objects."""
    (job_id,) = submit(database, new())
    damage(database, f"UPDATE jobs SET {column} WHERE id = {job_id}")
    return job_id


def damage(database: Database, statement: str) -> None:
    """Write what a column cannot hold; skipped where the database objects."""
    try:
        with database.write() as connection:
            connection.execute(text(statement))
    except (UsageError, DatabaseError):
        assert not database.is_sqlite
        pytest.skip("Postgres does not take it in the first place")


def test_jobs_whose_needs_cannot_be_read_have_a_place_each(database: Database) -> None:
    # The index puts bytes behind all text.
    needs = [f"needs=CAST(X'{code}' AS BLOB)" for code in ("fe", "ff")]
    bad = [damaged(database, each) for each in needs]
    (good,) = submit(database, new(priority=1))
    with database.read() as connection:
        places = order.places(connection, [QUEUE])
        assert [place.needs for place in places] == [*bad, Needs.of(new()).key]
        assert [connection.scalar(order.next_at(place)) for place in places] == [*bad, good]


def test_a_value_that_the_database_refuses_blocks_no_queue(database: Database) -> None:
    bad, good = submit(database, NewJob("own", {"seed": 2**70}, "0", "ann"), new())
    assert claimed(database).id == good
    job = get(database, bad)
    assert (job.state, job.reason, job.attempt) == ("failed", "error", 0)
    assert job.error == (
        "it cannot be started: the seed is a number of 72 bits, and the database holds 64 of them"
    )


@pytest.mark.parametrize("column", _DAMAGE.values(), ids=_DAMAGE)
def test_a_damaged_job_fails_by_itself(database: Database, column: str) -> None:
    bad = damaged(database, column)
    (good,) = submit(database, new())
    assert claimed(database, offer=Offer("cpu", KINDS)).id == good
    job = get(database, bad)
    assert (job.state, job.reason) == ("failed", "error")
    assert job.error is not None
    assert job.error.startswith(f"it cannot be started: its {column.partition('=')[0]} cannot")


@pytest.mark.parametrize("column", [*_DAMAGE.values(), *_BEARABLE.values()])
def test_a_damaged_row_stops_no_statement(database: Database, column: str) -> None:
    bad = {state: damaged(database, column) for state in State}
    (other,) = submit(database, new("bob"))
    offer = Offer("cpu", KINDS)
    while (attempt := claimed(database, offer=offer).attempt_id).job_id != other:
        pass  # what can be claimed in spite of it
    with database.write() as connection:
        due = {"lease_owner": "x", "lease_until": t.now(-9), "not_before": t.now(-9)}
        for state, job_id in bad.items():
            row = t.jobs.update().where(t.jobs.c.id == job_id)
            connection.execute(row.values(state=state, **due))
        assert leases.renew(connection, "w", 60, [attempt]) == {attempt: False}
        attempts.report(connection, attempt, metrics=[MetricPoint("x", 1, 2.0, datetime.now(UTC))])
        assert jobs.promote(connection, "w") == 1
        assert [job_id for job_id, _ in attempts.reap(connection, "w")] == [bad[State.RUNNING]]
    with database.read() as connection:
        assert filters.find(connection, filters.Filter(tags=[("a", None)])) == []
        spelling.check(
            connection, filters.Filter(tags=[("a", None)])
        )  # which looks through all tags
        for job in filters.find(connection, filters.Filter()):
            assert shapes.job(job, [])["id"] == job.id
            assert explain(connection, job).why
    assert finish(database, attempt, DONE) == State.SUCCEEDED
    with database.write() as connection:
        assert all(jobs.cancel(connection, job_id, "ann").finished for job_id in bad.values())


@pytest.mark.parametrize("error", [KeyError("kinds"), AttributeError("x"), ValueError("y")])
def test_a_mistake_of_cvqs_own_is_blamed_on_no_job(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fall(*_: object) -> None:
        raise error

    (job_id,) = submit(database, new())
    monkeypatch.setattr(claims, "misfit", fall)
    with pytest.raises(type(error)):
        claim(database, offer=Offer("cpu", None))
    assert get(database, job_id).state == "queued"


def test_a_row_that_nobody_can_make_sense_of_fails_by_itself(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = submit(database, new(name="bad"), new())
    understand = Needs.of

    def fall(job: Job | NewJob) -> Needs:
        if job.name == "bad":
            raise TypeError("unhashable")
        return understand(job)

    monkeypatch.setattr(Needs, "of", fall)
    assert claimed(database).id == good
    error = get(database, bad).error
    assert error == "it cannot be started: its row cannot be read (TypeError: unhashable)"


@pytest.mark.parametrize(
    "column",
    ["devices='{'", "queues='7'", "slots='many'", "pid='x'", "lease='long'", "kinds='[1]'",
     "seen_at='lately'", "state='odd'", "drain='odd'"],
)  # fmt: skip
def test_a_damaged_worker_is_listed(database: Database, column: str) -> None:
    registered(database)
    damage(database, f"UPDATE workers SET {column}")
    (job_id,) = submit(database, new())
    with database.read() as connection:
        [worker] = queries.workers(connection)
        assert shapes.worker(worker)["id"] == "w"
        able = Candidates.of(queries.get_job(connection, job_id), [worker]).able
        assert explain(connection, queries.get_job(connection, job_id)).why
    assert bool(able) == column.startswith(("devices", "pid", "slots", "kinds"))
    assert bool(worker.free_slots) != column.startswith("slots")
