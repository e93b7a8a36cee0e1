"""Who is served next: priority, turns between users, age."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from plans import sqlite_plans
from sqlalchemy import select
from steps import DONE, claim, claimed, finish, new, submit, take_all

from cvq import queries
from cvq import tables as t
from cvq.db import Database
from cvq.lifecycle import jobs, order
from cvq.matching import Needs
from cvq.records import Outcome
from cvq.states import State


def test_priority_comes_first_then_age(database: Database) -> None:
    low, high, also_high = submit(database, new(priority=1), new(priority=9), new(priority=9))
    assert take_all(database) == [high, also_high, low]


def test_500_jobs_of_one_user_block_nobody(database: Database) -> None:
    submit(database, *[new("ann") for _ in range(500)])
    for _ in range(30):
        finish(database, claimed(database).attempt_id, DONE)
    bobs = submit(database, *[new("bob") for _ in range(3)])
    assert set(bobs) <= set(take_all(database, limit=7))


def test_waiting_jobs_take_turns_with_others_once_their_time_comes(database: Database) -> None:
    past = datetime.now(UTC) - timedelta(seconds=60)
    submit(database, *[new("ann", not_before=past) for _ in range(50)])
    with database.write() as connection:
        assert jobs.promote(connection, "w") == 50
    bobs = submit(database, new("bob"), new("bob"))
    assert set(bobs) <= set(take_all(database, limit=5))


def test_a_job_that_comes_back_gives_nobody_else_a_lead(database: Database) -> None:
    # Its rank is from long ago. Were it the lowest of the queue, bob would begin there, too.
    [old] = submit(database, new("ann"))
    held = claimed(database)
    assert held.id == old
    anns = submit(database, *[new("ann") for _ in range(60)])
    for _ in range(30):
        finish(database, claimed(database).attempt_id, DONE)
    assert finish(database, held.attempt_id, Outcome(State.QUEUED, "preempted")) == State.QUEUED
    submit(database, *[new("bob") for _ in range(30)])
    taken = take_all(database, limit=21)
    assert taken[0] == old, "it lost its turn"
    assert 8 <= len(set(taken[1:]) & set(anns)) <= 12


def test_who_has_only_running_jobs_is_not_put_behind_a_newcomer(database: Database) -> None:
    submit(database, *[new("ann") for _ in range(20)])
    for _ in range(19):
        finish(database, claimed(database).attempt_id, DONE)
    claimed(database)
    submit(database, *[new("bob") for _ in range(20)])
    [late] = submit(database, new("ann"))
    assert late in take_all(database, limit=3)


def test_only_the_queues_asked_for_are_served(database: Database) -> None:
    gpu, cpu = submit(database, new(queue="gpu", priority=9), new(queue="cpu"))
    assert claim(database, queues=("other",)) is None
    assert claimed(database, queues=("cpu", "other")).id == cpu
    other, best = submit(database, new(queue="cpu", priority=8), new(queue="gpu", priority=9))
    both = ("cpu", "gpu")
    assert [claimed(database, queues=both).id for _ in range(3)] == [gpu, best, other]


def test_how_many_are_ahead(database: Database) -> None:
    submit(database, *[new(priority=9)] * 2)
    anns = submit(database, *[new("ann")] * 3)
    bobs = submit(database, *[new("bob")] * 3)
    submit(database, *[new(queue="gpu", priority=9)] * 5)

    def ahead(job_id: int) -> int:
        with database.read() as connection:
            return order.ahead_of(connection, queries.get_job(connection, job_id))

    # The two of priority 9, then ann and bob in turns.
    assert [ahead(job_id) for job_id in anns] == [2, 4, 6]
    assert [ahead(job_id) for job_id in bobs] == [3, 5, 7]
    claimed(database)
    assert ahead(anns[0]) == 1


def test_places_come_in_the_order_of_their_first_jobs(database: Database) -> None:
    """Priority decides, then the turn, then age; and not the name of the queue or of the needs."""
    cpu = new(device="cpu", queue="b")
    late, first, _, second, third, _ = submit(
        database,
        new(queue="a", priority=1),
        new(queue="b", priority=9),
        new(queue="b", priority=8),
        new(queue="a", priority=8, device="gpu"),
        cpu,
        new(queue="not asked for", priority=9),
    )
    with database.read() as connection:
        found = order.places(connection, ["a", "b"])
        assert found == [
            order.Place("b", Needs.of(new()).key),
            order.Place("a", Needs.of(new(device="gpu")).key),
            order.Place("b", Needs.of(cpu).key),
            order.Place("a", Needs.of(new()).key),
        ]
        next_ids = [connection.scalar(order.next_at(place)) for place in found]
        assert next_ids == [first, second, third, late]
        assert order.places(connection, ["empty"]) == []


def test_claims_and_submissions_look_into_an_index(database: Database) -> None:
    """With many jobs queued, no statement of the hot path reads or sorts them all."""
    if not database.is_sqlite:
        with database.write() as connection:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            place = order.Place("default", Needs.of(new()).key)
            plan = _postgres_plan(connection, order.next_at(place))
            ranks = select(t.jobs.c.fair_rank).where(
                t.in_state(State.QUEUED), t.jobs.c.queue == "default", t.jobs.c.priority == 5
            )
            lowest = _postgres_plan(connection, ranks.order_by(t.jobs.c.fair_rank).limit(1))
        assert "ix_jobs_needs" in plan
        assert "ix_jobs_queued" in lowest
        assert "Sort" not in plan + lowest
        return

    def act() -> None:
        submit(database, new())
        claimed(database)

    plans = sqlite_plans(database, act)
    assert plans
    assert not [step for step in plans if "SCAN jobs" in step]
    # Only the running jobs are ever sorted: there are no more of them than slots.
    sorting = [step for step in plans if "TEMP B-TREE" in step]
    assert all("jobs.state = 'running'" in step for step in sorting)
    # Nor do they go through all that there ever was of a priority or a queue.
    of_history = re.compile(r"ix_jobs_(?!state)\w+_id ")
    assert not [step for step in plans if of_history.search(step)]
    assert any("ix_jobs_needs (queue=? AND needs=?)" in step for step in plans)
    assert any("ix_jobs_unfinished (queue=? AND priority=? AND user=?)" in step for step in plans)
    assert any("ix_jobs_claim_token" in step for step in plans)
    # Those that lists are sorted by hold the whole history, of which most have one priority.
    of_lists = "ix_jobs_(priority|attempt|queue|kind|user|name)_id"
    assert not [step for step in plans if re.search(of_lists, step)]


def _postgres_plan(connection: Any, query: Any) -> str:
    compiled = query.compile(connection, compile_kwargs={"literal_binds": True})
    return "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {compiled}"))
