"""Figures of the history, from both databases."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from past_jobs import ended
from situations import change, running, submit
from sqlalchemy import update

from cvq import tables as t
from cvq.db import Database
from cvq.errors import UsageError
from cvq.states import State
from cvq.tables import now
from cvq.views import stats as views
from cvq.views.filters import asked
from cvq.views.stats import Figures, Stats


def figures(database: Database, *by: str, sort: str | None = None, **filters: Any) -> Stats:
    with database.read() as connection:
        return views.stats(connection, asked(**filters), by or ("kind",), sort=sort)


def row(found: Stats, *key: str) -> Figures:
    [row] = [row for row in found.rows if row.key == key]
    return row


@pytest.fixture
def past(database: Database) -> Database:
    """A hundred runs of 1 to 100 s of ann's, and some of bea's on a GPU, of which one failed."""
    ended(database, [({}, float(seconds)) for seconds in range(1, 101)], wait=7.0)
    gpu = {"user": "bea", "kind": "vae", "device": "cuda:0", "host": "box", "queue": "gpu"}
    ended(database, [({}, 1800.0)] * 3, **gpu)
    ended(database, [({}, 3600.0)], state=State.FAILED, **gpu)
    ended(database, [({}, 60.0)], state=State.CANCELLED, **gpu)
    submit(database, user="bea", kind="vae")
    return database


def test_counts_times_and_success(past: Database) -> None:
    found = figures(past)
    assert [each.key for each in found.rows] == [("selftest",), ("vae",)]  # the most jobs first
    selftest, vae = found.rows
    assert (selftest.jobs, selftest.success, selftest.gpu_hours) == (100, 1.0, 0.0)
    assert selftest.run == pytest.approx((50, 90, 99), abs=0.01)
    assert selftest.wait == pytest.approx((7, 7, 7), abs=0.01)
    assert vae.states == {"succeeded": 3, "failed": 1, "cancelled": 1, "queued": 1}
    assert (vae.jobs, vae.unfinished, vae.success) == (6, 1, 0.75)
    assert vae.run == pytest.approx((1800, 1800, 1800), abs=0.01)  # of those that succeeded


def test_gpu_hours_count_every_attempt_on_a_gpu(past: Database) -> None:
    vae = row(figures(past), "vae")
    assert vae.gpu_hours == pytest.approx((3 * 1800 + 3600 + 60) / 3600, rel=1e-3)
    attempt = {"number": 2, "worker": "box.1", "host": "box", "device": "cuda:1"}
    with past.write() as connection:
        first = connection.scalar(t.jobs.select().where(t.jobs.c.kind == "vae").with_only_columns(
            t.jobs.c.id).order_by(t.jobs.c.id).limit(1))  # fmt: skip
        connection.execute(t.attempts.insert().values(
            job_id=first, started_at=now(-3600), **attempt))  # fmt: skip
    assert row(figures(past), "vae").gpu_hours == pytest.approx(vae.gpu_hours + 1, rel=1e-3)


def test_the_total_is_of_all(past: Database) -> None:
    total = figures(past).total
    assert (total.jobs, total.unfinished) == (106, 1)
    assert total.success == pytest.approx(103 / 104)
    assert total.run is not None
    assert total.run.p50 == pytest.approx(52, abs=0.01)
    assert total.run.p99 == pytest.approx(1800, abs=0.01)
    assert total.gpu_hours == pytest.approx(row(figures(past), "vae").gpu_hours)


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        (["user"], {("ann",): 100, ("bea",): 6}),
        (["state"], {("succeeded",): 103, ("failed",): 1, ("cancelled",): 1, ("queued",): 1}),
        (["reason"], {("",): 105, ("error",): 1}),
        (["queue", "kind"], {("default", "selftest"): 100, ("gpu", "vae"): 5,
                             ("default", "vae"): 1}),
        (["worker"], {("lab.1",): 100, ("box.1",): 5, ("",): 1}),
        (["host", "device"], {("lab", "cpu"): 100, ("box", "cuda:0"): 5, ("", ""): 1}),
    ],
)  # fmt: skip
def test_by_what_is_asked(past: Database, by: list[str], keys: dict[tuple[str, ...], int]) -> None:
    assert {each.key: each.jobs for each in figures(past, *by).rows} == keys


def test_a_day_is_one_of_the_readers_zone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(database, [({}, 1.0)] * 3)
    times = ["2026-03-01 18:20", "2026-03-01 18:40", "2026-03-02 01:00"]
    with database.write() as connection:
        for number, time_of_it in enumerate(times, 1):
            moment = datetime.fromisoformat(time_of_it).replace(tzinfo=UTC)
            connection.execute(
                update(t.jobs).where(t.jobs.c.id == number).values(created_at=moment)
            )
    monkeypatch.setenv("TZ", "Asia/Kolkata")  # half an hour past five of UTC
    time.tzset()
    views._day.cache_clear()
    try:
        found = figures(database, "day")
    finally:
        monkeypatch.undo()
        time.tzset()
        views._day.cache_clear()
    assert [(each.key, each.jobs) for each in found.rows] == [
        (("2026-03-01",), 1), (("2026-03-02",), 2),
    ]  # fmt: skip


def test_filters_are_those_of_lists(past: Database) -> None:
    assert figures(past, user="ann").total.jobs == 100
    assert figures(past, where="duration > 50.5 and kind = 'selftest'").total.jobs == 50
    assert figures(past, state="failed").total.states == {"failed": 1}
    assert figures(past, since=datetime.now(UTC) - timedelta(minutes=5)).total.jobs == 1
    assert figures(past, kind="vae", user="ann").rows == []


def test_sorted_by_any_figure_what_has_none_last(past: Database) -> None:
    submit(past, kind="new")
    for sort, kinds in {
        "kind": ["new", "selftest", "vae"],
        "-run_p50": ["vae", "selftest", "new"],
        "run_p50": ["selftest", "vae", "new"],
        "-gpu_hours": ["vae", "new", "selftest"],
        "failed": ["new", "selftest", "vae"],
    }.items():
        assert [each.key[0] for each in figures(past, sort=sort).rows] == kinds, sort


def test_what_is_not_known_is_refused_and_the_nearest_named(database: Database) -> None:
    with pytest.raises(UsageError, match="did you mean 'worker'"):
        figures(database, "workers")
    with pytest.raises(UsageError, match="did you mean 'gpu_hours'"):
        figures(database, sort="-gpuhours")


def test_one_that_runs_counts_its_gpu_hours_so_far(database: Database) -> None:
    running(database)  # for an hour
    change(database, t.attempts, device="cuda:0", started_at=now(-3600))
    total = figures(database).total
    assert (total.unfinished, total.run) == (1, None)
    assert total.gpu_hours == pytest.approx(1, rel=0.01)


def test_every_figure_has_a_name(past: Database) -> None:
    found = figures(past).total
    assert [found.figure(name) is not None for name in views.FIGURES] == [True] * len(
        views.FIGURES
    )
    empty = figures(past, user="nobody").total
    assert [name for name in views.FIGURES if empty.figure(name) is None] == [
        "success", "wait_p50", "wait_p90", "wait_p99", "run_p50", "run_p90", "run_p99",
    ]  # fmt: skip
