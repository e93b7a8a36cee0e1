"""Batches in the place of their jobs, and how far one is: the same on both databases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import steps
from plans import sqlite_plans

from cvq import queries
from cvq.batch import Batch, NewBatch
from cvq.db import Database
from cvq.lifecycle import attempts, batches, jobs, retrying
from cvq.records import Outcome
from cvq.states import State
from cvq.views import filters, folded
from cvq.views.batch_progress import progress_of
from cvq.views.filters import Filter


def enter(database: Database, number: int, *, items: int | None = None, **values: Any) -> int:
    batch = NewBatch("selftest", "ann", {}, items or number, known=0 if number else 1)
    with database.write() as connection:
        return batches.submit(connection, batch, [replace(steps.new(), **values)] * number)


def found(database: Database, **wanted: Any) -> list[tuple[str, int]]:
    with database.read() as connection:
        rows = folded.find(connection, Filter(**wanted))
        whole = folded.count(connection, Filter(**(wanted | {"limit": None})))
    assert len(rows) == min(whole, wanted.get("limit") or whole)
    return [("batch" if isinstance(row, Batch) else "job", row.id) for row in rows]


def test_a_batch_stands_for_its_jobs(database: Database) -> None:
    [first] = steps.submit(database, steps.new())
    batch = enter(database, 3, tags={"for": "poster"})
    [last] = steps.submit(database, replace(steps.new(), kind="other", user="bob"))
    known = enter(database, 0, items=1)
    everything = [("batch", known), ("job", last), ("batch", batch), ("job", first)]
    assert found(database) == everything
    assert found(database, limit=2) == everything[:2]
    assert found(database, kinds=["selftest"]) == [everything[0], *everything[2:]]
    assert found(database, users=["bob"]) == [("job", last)]
    assert found(database, tags=[("for", None)]) == [("batch", batch)]
    assert found(database, states=[State.QUEUED]) == everything[1:]
    assert found(database, states=[State.FAILED]) == []


def test_a_batch_has_the_states_of_what_is_meant(database: Database) -> None:
    batch = enter(database, 3)
    steps.claimed(database)
    with database.read() as connection:
        [row] = folded.find(connection, Filter(states=[State.QUEUED]))
        assert isinstance(row, Batch)
        assert (row.id, row.jobs, row.states) == (batch, 3, {"queued": 2})
        [seen] = queries.unfinished_batches(connection, 5)
        assert seen.states == {"queued": 2, "running": 1}
    with database.write() as connection:
        assert jobs.cancel_all(connection, queries.ids_of_batch(connection, batch), "ann") == 3
    steps.finish(database, steps.get(database, 1).attempt_id, Outcome(State.CANCELLED))
    with database.read() as connection:
        assert queries.unfinished_batches(connection, 5) == []


@pytest.mark.parametrize(
    "wanted",
    [{}, {"users": ["ann"]}, {"kinds": ["selftest"]}, {"users": ["ann"], "states": ["queued"]}],
)
def test_nothing_reads_all_jobs_to_find_some(database: Database, wanted: dict[str, Any]) -> None:
    if not database.is_sqlite:
        pytest.skip("Postgres plans by how many rows there are")
    enter(database, 2)
    plans = sqlite_plans(database, lambda: found(database, limit=2, **wanted) and None)
    of_batches = [step for step in plans if "FROM batches" in step or "GROUP BY" in step]
    assert any("ix_jobs_batch_state" in step for step in of_batches)
    # Whatever is asked of jobs beside their batch may be looked up instead.
    assert not [step for step in of_batches if "jobs.user IN" in step or "jobs.kind IN" in step]
    plans = [step for step in plans if "json_each" not in step]  # of jobs that were found
    assert not [step for step in plans if step.startswith(("SCAN jobs", "USE TEMP B-TREE FOR O"))]
    if not wanted:
        assert any("ix_jobs_batch_id" in step and "ORDER BY" in step for step in plans)


def test_more_than_a_statement_may_have_values_are_found(database: Database) -> None:
    batch = enter(database, 1)
    many = range(1, 40_000)
    with database.write() as connection:
        assert set(queries.states_of_batches(connection, many)) == set(many)
        assert filters.count(connection, Filter(ids=many, batches=many)) == 1
        assert jobs.cancel_all(connection, many, "ann") == 1
        assert retrying.retry(connection, many, "ann") == {1: "default"}
    with database.read() as connection:
        assert queries.get_batch(connection, batch).states == {"queued": 1}


def test_jobs_of_batches_and_others_are_tried_again(database: Database) -> None:
    batch = enter(database, 2)
    [alone] = steps.submit(database, steps.new())
    with database.write() as connection:
        jobs.cancel_all(connection, [1, 2, alone], "ann")
        assert retrying.retry(connection, [1, alone], "ann") == dict.fromkeys(
            (1, alone), "default"
        )
        assert queries.get_batch(connection, batch).states == {"queued": 1, "cancelled": 1}
        assert queries.get_job(connection, alone).state == State.QUEUED


def test_shards_count_by_their_items(database: Database) -> None:
    batch = enter(database, 4, items=40)
    for done in (10, 5):
        job = steps.claimed(database)
        with database.write() as connection:
            progress = {"done": done, "total": 10, "unit": "item", "eta_s": None}
            attempts.report(connection, job.attempt_id, progress=progress)
            if done == 10:
                ended = Outcome(State.SUCCEEDED, result={"items": 10, "failed": 3})
                attempts.finish(connection, job.attempt_id, ended, by="w")
    with database.read() as connection:
        assert progress_of(connection, queries.get_batch(connection, batch)) == (1.5 / 4, 3)
