"""Jobs that are entered in a few statements are what each would be by itself."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Table, func, select
from steps import DONE, claimed, finish, get, new, submit

from cvq import tables as t
from cvq.db import Database
from cvq.errors import UnknownJobError
from cvq.lifecycle import jobs
from cvq.lifecycle.alike import submit_all
from cvq.records import NewJob

A, B = "a" * 64, "b" * 64
FILE = {"name": "x.png", "sha256": "f" * 64, "bytes": 3}


def enter(database: Database, *wanted: NewJob, shares: Any = None) -> list[int]:
    with database.write() as connection:
        return submit_all(connection, wanted, shares or [()] * len(wanted))


def rows(database: Database, table: Table, job_ids: list[int]) -> list[list[dict[str, Any]]]:
    """The rows of each job, without what tells jobs and moments apart."""
    left_out = {"id", "job_id", "time", "created_at", "queued_at", "finished_at"}
    key = "id" if table is t.jobs else "job_id"
    with database.read() as connection:
        found = [
            connection.execute(select(table).where(table.c[key] == job_id)).mappings().all()
            for job_id in job_ids
        ]
    return [
        sorted(
            ({n: v for n, v in row.items() if n not in left_out} for row in some), key=str
        )
        for some in found
    ]  # fmt: skip


def test_they_are_what_each_would_be_by_itself(database: Database) -> None:
    parents = submit(database, new("bob"), new("bob"))
    wanted = [
        new(name="1", tags={"a": "1"}, after=(parents[0],), goals={"loss": "min"}),
        new(name="2", tags={"a": "1"}, after=tuple(parents), identity=A, origin={"code": "c"}),
        new(name="3", tags={"a": "1"}, error="this cannot be"),
    ]
    specs: list[dict[str, Any]] = [
        {"seed": 1, "on": True, "größe": 1.0, "file": FILE, "l": [1]},
        {"seed": 1, "on": 1, "größe": 2, "file": {**FILE, "sha256": "e" * 64}, "l": [1]},
        {"seed": 1, "on": True, "other": "word", "file": FILE},
    ]
    for job, spec in zip(wanted, specs, strict=True):
        object.__setattr__(job, "spec", spec)
    alone, together = submit(database, *wanted), enter(database, *wanted)
    assert together == sorted(together)
    for table in (t.jobs, t.attributes, t.inputs, t.dependencies):
        found = rows(database, table, together)
        first = rows(database, table, alone)
        if table is t.jobs:  # they take their turns behind the others
            for some in (*found, *first):
                some[0].pop("fair_rank")
        assert found == first, table.name
    [one, two, three] = rows(database, t.events, together)
    assert [event["what"] for event in one + two] == ["submitted"] * 2
    assert sorted(event["what"] for event in three) == ["failed (error)", "submitted"]


def test_turns_are_taken_as_if_each_had_been_submitted(database: Database) -> None:
    submit(database, new("bob"))
    own = enter(database, *(new() for _ in range(3)))
    later = submit(database, new("bob"))
    ranks = [get(database, number) for number in (*own, *later)]
    with database.read() as connection:
        query = select(t.jobs.c.id).order_by(t.jobs.c.fair_rank, t.jobs.c.id)
        order = list(connection.scalars(query))
    assert order == [1, own[0], own[1], later[0], own[2]]
    assert {job.state for job in ranks} == {"queued"}


def test_one_that_cannot_be_leaves_none(database: Database) -> None:
    with pytest.raises(UnknownJobError):
        enter(database, new(), new(after=(4711,)))
    with database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(t.jobs)) == 0
    assert enter(database) == []


def test_what_does_the_same_is_computed_once(database: Database) -> None:
    own = {"origin": {"code": "c"}}
    [first] = submit(database, new(identity=A, **own))
    found = enter(
        database, new(identity=B, **own), new(identity=A, **own), new(identity=B, **own), new(),
        shares=[(B,), (A,), (B,), ()],
    )  # fmt: skip
    states = [(get(database, n).state, get(database, n).twin_of) for n in found]
    assert states == [
        ("queued", None),
        ("waiting", first),
        ("waiting", found[0]),
        ("queued", None),
    ]


def test_many_are_entered(database: Database) -> None:
    wanted = [new(name=str(number)) for number in range(1_203)]
    found = enter(database, *wanted)
    assert len(set(found)) == len(found)
    assert [get(database, found[n]).name for n in (0, 499, 500, 1_202)] == [
        "0", "499", "500", "1202"
    ]  # fmt: skip
    finish(database, claimed(database).attempt_id, DONE)
    with database.write() as connection:
        assert jobs.cancel_where(connection, t.jobs.c.id > 0, "ann") == 1_202
