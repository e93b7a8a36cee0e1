"""What `show` reads: outlines of curves, the timeline, the jobs that a job has to do with."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from plans import sqlite_plans
from sqlalchemy import insert, text, update
from steps import DONE, claimed, finish, new, reap_and_promote, submit

from cvq import queries
from cvq import tables as t
from cvq.db import Database
from cvq.lifecycle import attempts
from cvq.records import Attempt, Event, Job, MetricPoint, Outcome
from cvq.states import State
from cvq.views.curves import Curve, curves_of
from cvq.views.links import links_of
from cvq.views.outlines import outlines_of
from cvq.views.timeline import timeline

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def record(database: Database, job: Job, **curves: list[float]) -> None:
    """Let a running attempt record values from step 1 on; a list begins with its first step."""
    points = [
        MetricPoint(name, int(first) + place, value, NOW)
        for name, (first, *values) in curves.items()
        for place, value in enumerate(values)
    ]
    with database.write() as connection:
        attempts.report(connection, job.attempt_id, metrics=points)


def both(database: Database, job_id: int) -> tuple[list[Curve], list[Curve]]:
    with database.read() as connection:
        whole = curves_of(connection, job_id, headline=["loss"])
        return whole, outlines_of(connection, job_id, headline=["loss"])


def test_an_outline_has_the_figures_of_the_whole_curve_and_few_points(database: Database) -> None:
    submit(database, new())
    job = claimed(database)
    values = [100.0 / step for step in range(1, 2001)]
    values[1234] = -7.0
    record(database, job, loss=[1, *values], accuracy=[5, 0.5, float("nan"), 0.7], epoch=[1235, 3])
    whole, outlines = both(database, job.id)
    assert [curve.name for curve in outlines] == ["loss", "accuracy", "epoch"]
    for full, outline in zip(whole, outlines, strict=True):
        for name in ("name", "value", "best", "best_step", "lowest", "highest", "count", "job_id"):
            assert getattr(outline, name) == getattr(full, name), name
        assert len(outline.values) <= 64
        assert (outline.steps[0], outline.steps[-1]) == (full.steps[0], full.steps[-1])
        known = dict(zip(full.steps, full.values, strict=True))
        assert [known[step] for step in outline.steps] == outline.values
    assert outlines[0].epochs == {1235: 3}
    assert (outlines[0].lowest, outlines[0].count) == (-7.0, 2000)
    assert outlines[1].values == [0.5, None, 0.7]


def test_what_an_attempt_took_back_is_in_no_outline(database: Database) -> None:
    submit(database, new(max_attempts=4))
    for first, values in ((1, [9.0] * 30), (20, [8.0] * 5), (40, [7.0] * 3)):
        job = claimed(database, lease=-1.0)
        record(database, job, loss=[first, *values])
        reap_and_promote(database)
    [full], [outline] = both(database, job.id)
    assert outline.count == full.count == 19 + 5 + 3
    assert set(outline.steps) <= set(full.steps)
    assert outline.steps[0] == 1
    assert outline.values[-1] == 7.0
    known = dict(zip(full.steps, full.values, strict=True))
    assert [known[step] for step in outline.steps] == outline.values


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_outlines_look_into_an_index(database: Database) -> None:
    [job_id] = submit(database, new())
    record(database, claimed(database), loss=[1, *map(float, range(50))])
    plans = sqlite_plans(database, lambda: both(database, job_id) and None)
    steps = [step for step in plans if "metrics" in step]
    assert steps
    assert not [step for step in steps if step.startswith("SCAN metrics")]
    assert any("USING COVERING INDEX ix_metrics" in step for step in steps), "to count them"


def test_an_outline_of_nothing_and_of_damaged_rows(database: Database) -> None:
    [job_id] = submit(database, new())
    assert both(database, job_id) == ([], [])
    job = claimed(database)
    record(database, job, loss=[1, 3.0, 2.0, 1.0])
    if database.is_sqlite:
        with database.write() as connection:
            connection.execute(text("UPDATE metrics SET value = 'x' WHERE step = 2"))
        [outline] = both(database, job_id)[1]
        assert outline.values == [3.0, None, 1.0]
        with database.write() as connection:
            connection.execute(text("UPDATE metrics SET step = 'x' WHERE step = 2"))
        [full], [outline] = both(database, job_id)
        assert outline.values == full.values == [3.0, 1.0]


def test_links_to_other_jobs(database: Database) -> None:
    first, second, third, fourth = submit(database, new(), new(), new(), new())
    with database.write() as connection:
        jobs = t.jobs
        connection.execute(update(jobs).where(jobs.c.id == second).values(twin_of=first))
        connection.execute(update(jobs).where(jobs.c.id == third).values(made_from=first, sweep=3))
        connection.execute(insert(t.dependencies).values(job_id=fourth, parent_id=first))
    with database.read() as connection:
        links = links_of(connection, queries.get_job(connection, first))
        assert (links.twins, links.made_again, links.awaited_by) == ([second], [third], [fourth])
        made = links_of(connection, queries.get_job(connection, third))
        assert (made.made_from, made.sweep, made.twin_of) == (first, 3, None)
        assert links_of(connection, queries.get_job(connection, second)).twin_of == first


def told(database: Database, job_id: int) -> list[str]:
    with database.read() as connection:
        job = queries.get_job(connection, job_id)
        moments = timeline(
            job,
            queries.attempts_of(connection, job_id),
            queries.events_of(connection, job_id),
            queries.database_time(connection),
        )
    assert [moment.time for moment in moments] == sorted(moment.time for moment in moments)
    return [moment.what for moment in moments]


def test_a_timeline_tells_of_each_attempt_and_of_the_end(database: Database) -> None:
    [job_id] = submit(database, new(max_attempts=3))
    assert told(database, job_id) == ["submitted", "waits"]
    claimed(database, lease=-1.0)
    assert [what for what in told(database, job_id) if what != "waited"] == [
        "submitted", "attempt 1 running",
    ]  # fmt: skip
    reap_and_promote(database)
    finish(database, claimed(database).attempt_id, DONE)
    found = [what for what in told(database, job_id) if what != "waited"]
    assert found[0] == "submitted"
    assert "attempt 1 failed (worker-lost)" in found
    assert found[-1] == "attempt 2 succeeded"


def attempt(number: int, begun: float, ended: float | None) -> Attempt:
    def at(second: float) -> datetime:
        return NOW + timedelta(seconds=second)

    return Attempt(
        job_id=1, number=number, worker="w", host="h", pid=1, device=None, versions=None,
        seed=None, started_at=at(begun), finished_at=None if ended is None else at(ended),
        outcome=None if ended is None else "failed", reason=None, error=None, traceback=None,
        peak_memory=None, last_lines=None,
    )  # fmt: skip


def test_a_timeline_says_how_long_each_thing_lasted(database: Database) -> None:
    [job_id] = submit(database, new())
    with database.read() as connection:
        job = queries.get_job(connection, job_id)
    job = replace(job, created_at=NOW, state=State.RUNNING)
    events = [
        Event(NOW, "submitted", "ann"),
        Event(NOW + timedelta(seconds=50), "cancel requested", "bob"),
        Event(NOW + timedelta(seconds=10), "attempt 1 started", "w"),
    ]
    moments = timeline(
        job, [attempt(1, 10, 25), attempt(2, 40, None)], events, NOW + timedelta(seconds=60)
    )
    assert [(m.what, m.seconds, m.goes_on) for m in moments] == [
        ("submitted", None, False),
        ("waited", 10.0, False),
        ("attempt 1 failed", 15.0, False),
        ("waited", 15.0, False),
        ("attempt 2 running", 20.0, True),
        ("cancel requested", None, False),
    ]


@pytest.mark.parametrize("seen", [5_000_000, None])
def test_the_memory_of_a_running_attempt_stays_where_nothing_else_is_known(
    database: Database, seen: int | None
) -> None:
    submit(database, new(max_attempts=3))
    job = claimed(database, lease=-1.0)
    with database.write() as connection:
        attempts.report(connection, job.attempt_id, memory=seen)
    reap_and_promote(database)
    job = claimed(database)
    with database.write() as connection:
        attempts.report(connection, job.attempt_id, memory=seen)
    finish(database, job.attempt_id, Outcome(State.SUCCEEDED, result={}, peak_memory=9_000_000))
    with database.read() as connection:
        found = queries.attempts_of(connection, job.id)
    assert [each.peak_memory for each in found] == [seen, 9_000_000]
