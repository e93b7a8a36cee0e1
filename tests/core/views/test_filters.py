"""Which jobs of the history a filter means, and in which order: the same on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import steps
from sqlalchemy import update

from cvq import tables as t
from cvq.db import Database
from cvq.lifecycle import attempts
from cvq.query.parser import parse
from cvq.records import AttemptId, MetricPoint, Outcome
from cvq.states import State
from cvq.views import filters
from cvq.views.filters import Filter

TIME = datetime(2026, 11, 1, 12, tzinfo=UTC)


def submit(database: Database, count: int = 1, **values: Any) -> list[int]:
    return steps.submit(database, *[replace(steps.new(), **values)] * count)


def start(database: Database) -> AttemptId:
    return steps.claimed(database).attempt_id


def measured(database: Database, **metrics: float) -> int:
    """A running job with these metrics."""
    [job_id] = submit(database, priority=9)
    attempt = start(database)
    assert attempt.job_id == job_id
    points = [MetricPoint(name, 1, value, TIME) for name, value in metrics.items()]
    with database.write() as connection:
        attempts.report(connection, attempt, metrics=points)
    return job_id


def found(database: Database, **wanted: Any) -> list[int]:
    with database.read() as connection:
        jobs = filters.find(connection, Filter(**wanted))
        assert len(jobs) == filters.count(connection, Filter(**(wanted | {"limit": None}))) or (
            wanted.get("limit") is not None
        )
    return [job.id for job in jobs]


def test_filters_combine(database: Database) -> None:
    [one] = submit(database, kind="a", user="ann")
    [two] = submit(database, kind="b", user="ann")
    [three] = submit(database, kind="b", user="bob")
    assert found(database) == [three, two, one]
    assert found(database, kinds=["b"]) == [three, two]
    assert found(database, users=["ann"]) == [two, one]
    assert found(database, kinds=["b"], users=["ann"]) == [two]
    assert found(database, kinds=["a", "b"], users=["bob", "eve"]) == [three]
    assert found(database, ids=[three, one]) == [three, one]
    assert found(database, states=["running"]) == []
    running = start(database).job_id
    assert found(database, states=["running"]) == [running]
    assert len(found(database, states=["running", "queued"])) == 3


def test_times_bound_half_open(database: Database) -> None:
    ids = submit(database, 3)
    with database.write() as connection:
        for hours, job_id in enumerate(ids):
            connection.execute(
                update(t.jobs)
                .where(t.jobs.c.id == job_id)
                .values(created_at=TIME + timedelta(hours=hours))
            )
    hour = timedelta(hours=1)
    assert found(database, since=TIME + hour) == ids[:0:-1]
    assert found(database, until=TIME + hour) == ids[:1]
    assert found(database, since=TIME, until=TIME + 2 * hour) == ids[1::-1]
    west = (TIME + hour).astimezone(tz=None)
    assert found(database, since=west, until=west) == []


@pytest.mark.parametrize("key", ["set", "a b", "a.b", "$", "ünï", "it's", "[0]", "%s", ":x"])
def test_tags_with_any_key(database: Database, key: str) -> None:
    [mine] = submit(database, tags={key: "x"})
    submit(database, tags={"other": "x"})
    submit(database)
    assert found(database, tags=[(key, None)]) == [mine]
    assert found(database, tags=[(key, "x")]) == [mine]
    assert found(database, tags=[(key, "y")]) == []


def test_tags_with_any_value_and_several_of_them(database: Database) -> None:
    [one] = submit(database, tags={"a": "1", "b": "'; DROP TABLE jobs; --"})
    [two] = submit(database, tags={"a": "1", "b": ""})
    assert found(database, tags=[("a", "1")]) == [two, one]
    assert found(database, tags=[("a", "1"), ("b", "'; DROP TABLE jobs; --")]) == [one]
    assert found(database, tags=[("a", "1"), ("b", "")]) == [two]
    assert found(database, tags=[("a", "2"), ("b", "")]) == []


def test_a_figure_equals_what_it_is_shown_as(database: Database) -> None:
    job = measured(database, accuracy=0.4000000059604645, steps=1_000_001.0, loss=0.0)

    def found_by(name: str, sign: str, value: float) -> bool:
        return found(database, where=parse(f"{name} {sign} {value}")) == [job]

    assert found_by("accuracy", "=", 0.4)
    assert not found_by("accuracy", "!=", 0.4)
    assert not found_by("accuracy", "=", 0.40001)
    assert found_by("accuracy", "!=", 0.40001)
    assert found_by("steps", "=", 1_000_001)
    assert not found_by("steps", "=", 1_000_000)
    assert found_by("loss", "=", 0)
    assert not found_by("loss", "=", float("inf"))


def test_conditions_on_metrics(database: Database) -> None:
    good = measured(database, accuracy=0.9, loss=1e-7)
    bad = measured(database, accuracy=0.1, loss=12.0)
    measured(database, accuracy=float("nan"))
    submit(database)

    def where(*conditions: tuple[str, str, float]) -> list[int]:
        return found(
            database, where=parse(" and ".join("{} {} {}".format(*each) for each in conditions))
        )

    assert where(("accuracy", ">", 0.5)) == [good]
    assert where(("accuracy", ">=", 0.9)) == [good]
    assert where(("accuracy", "<", 0.9)) == [bad]
    assert where(("accuracy", "=", 0.1)) == [bad]
    assert where(("accuracy", "!=", 0.1)) == [good]
    assert where(("loss", "<", 1e-6)) == [good]
    assert where(("loss", "<", 1e6), ("accuracy", "<", 0.5)) == [bad]
    assert where(("loss", "<", float("inf"))) == [bad, good]
    assert where(("unknown", ">", 0)) == []
    assert where(("priority", "=", 9), ("attempt", ">=", 1), ("id", "<=", good)) == [good]


def test_sorting_puts_what_has_no_value_last(database: Database) -> None:
    low = measured(database, accuracy=0.1)
    high = measured(database, accuracy=0.9)
    none = measured(database, loss=1.0)
    assert found(database, sort="accuracy") == [low, high, none]
    assert found(database, sort="-accuracy") == [high, low, none]
    assert found(database, sort="id") == [low, high, none]
    assert found(database, sort="-id", limit=1) == [none]
    assert found(database, sort="-unknown") == [none, high, low]
    with database.write() as connection:
        attempts.finish(connection, AttemptId(low, 1), Outcome(State.SUCCEEDED), "w")
    assert found(database, sort="finished_at")[0] == low
    assert found(database, sort="-finished_at")[0] == low
