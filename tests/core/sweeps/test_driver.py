"""A sweep on both databases: entered whole, driven by one at a time, no trial lost or doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from plans import sqlite_plans
from sqlalchemy import func, inspect, select, update
from steps import claimed, finish, get, opened, reap_and_promote

from cvq import Client, queries, schema
from cvq import tables as t
from cvq.client.submitting import Submitting
from cvq.db import Database
from cvq.errors import (
    JobCancelledError,
    JobFailedError,
    SweepDrivenError,
    UnknownJobError,
    UnknownSweepError,
    UsageError,
    WaitTimeoutError,
)
from cvq.estimates import Estimate, Range
from cvq.kinds import get_kind
from cvq.kinds.code import code_of
from cvq.lifecycle import attempts, claims
from cvq.lifecycle import sweeps as life
from cvq.records import Job, MetricPoint, Outcome
from cvq.states import State
from cvq.sweep import PRUNED, Stage
from cvq.sweeps import cost, reading, starting
from cvq.sweeps.driver import Driver
from cvq.sweeps.handle import SweepHandle
from waiting import HANG_S, eventually

PYTHON = [sys.executable, "-c"]
ROW = {
    "kind": "selftest", "user": "ann", "stage": "open", "spec": {}, "space": [], "trials": 1,
    "method": "grid", "options": {}, "seed": 0, "created_at": datetime.now(UTC),
}  # fmt: skip


@pytest.fixture
def client(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client on either database; nobody is to be woken."""
    client = Client(database.settings)
    client.__dict__["db"] = database
    monkeypatch.setattr(Submitting, "_broker_trouble", lambda _: None)
    monkeypatch.setattr(Submitting, "notify", lambda *_, **__: None)
    return client


def work(client: Client, value: float | None = None, *, points: tuple[float, ...] = ()) -> Job:
    """Take the next job; finish it with a value where one is given."""
    job = claimed(client.db)
    if points:
        record(client, job, *points)
    if value is not None:
        finish(client.db, job.attempt_id, Outcome(State.SUCCEEDED, result={"value": value}))
    return job


def record(client: Client, job: Job, *values: float) -> None:
    now = datetime.now(UTC)
    points = [MetricPoint("score", n, value, now) for n, value in enumerate(values, 1)]
    with client.db.write() as connection:
        attempts.report(connection, job.attempt_id, metrics=points)


def driver(handle: SweepHandle) -> Driver:
    return Driver(handle.client, handle.refresh().sweep)


def numbers(handle: SweepHandle) -> list[int]:
    return [trial.number for trial in handle.refresh().trials]


def events(client: Client, job_id: int) -> list[tuple[str, str]]:
    with client.db.read() as connection:
        return [(event.what, event.by) for event in queries.events_of(connection, job_id)]


# ---------------------------------------------------------------------------- entered


def test_a_grid_is_queued_at_once_each_job_named_after_its_values(client: Client) -> None:
    handle = client.sweep("selftest", {"steps": [5, 10], "pause": "0,5e-1"}, name="n", seed=7)
    sweep = handle.sweep
    assert (sweep.stage, sweep.trials, sweep.submitted) == (Stage.COMPLETE, 4, 4)
    assert (sweep.state, sweep.stalled, sweep.name) == ("queued", False, "n")
    jobs = [get(client.db, trial.job or 0) for trial in handle.trials]
    assert [job.name for job in jobs] == [
        "steps=5 pause=0", "steps=5 pause=5e-1", "steps=10 pause=0", "steps=10 pause=5e-1"
    ]  # fmt: skip
    assert [job.spec for job in jobs][2] == {"seed": 7, "steps": 10, "pause": 0.0}
    assert {job.sweep for job in jobs} == {handle.id}
    assert handle.trials[2].params == {"steps": 10, "pause": 0.0}


def test_a_sweep_is_entered_whole_or_not_at_all(client: Client) -> None:
    with pytest.raises(UnknownJobError):
        client.sweep("selftest", {"steps": "1,2"}, after=4711)
    with client.db.read() as connection:
        for table in (t.sweeps, t.trials, t.jobs):
            assert connection.scalar(select(func.count()).select_from(table)) == 0


def test_inputs_are_stored_once_and_waited_for(client: Client, tmp_path: Path) -> None:
    from PIL import Image

    for name in ("a", "b", "c"):
        Image.new("RGB", (8, 8), {"a": "red", "b": "blue", "c": "navy"}[name]).save(
            tmp_path / f"{name}.png"
        )
    picture = str(tmp_path / "a.png")
    handle = client.sweep(
        "style-transfer",
        {"style": [[str(tmp_path / "b.png")], [str(tmp_path / "c.png")]], "steps": "1,2"},
        content=picture,
    )
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.png").unlink()
    specs = [get(client.db, trial.job or 0).spec for trial in handle.trials]
    assert len({spec["content"]["sha256"] for spec in specs}) == 1
    assert len({spec["style"][0]["sha256"] for spec in specs}) == 2
    assert handle.sweep.spec["content"]["sha256"] == specs[0]["content"]["sha256"]
    assert handle.label(handle.trials[0]).endswith('b.png"] steps=1')


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"method": "anneal"}, "method 'anneal': give grid, random, optuna"),
        ({"trials": 3}, "a grid has as many trials as points"),
        ({"method": "random"}, "how many trials"),
        ({"method": "random", "trials": 0}, "trials 0: give at least 1"),
        ({"prune": "mean"}, "prune 'mean': give median"),
        ({"prune": "median"}, "pruning needs a metric"),
        ({"parallel": 0}, "parallel 0: give at least 1"),
        ({"max_jobs": 10**6}, "max_jobs 1000000: give 1 to"),
        ({"maximize": "a", "minimize": "b"}, "maximize and minimize cannot be combined"),
        ({"max_jobs": 1}, "2 trials are more than the 1"),
        ({"priority": 11}, "priority 11"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_queued(
    client: Client, asked: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError) as error:
        client.sweep("selftest", {"steps": "1,2"}, **asked)
    assert str(error.value).startswith(said)
    with client.db.read() as connection:
        assert reading.last_sweeps(connection) == []


def test_a_million_jobs_are_refused_before_one_is_made(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "fitted", None)
    space = {"steps": "int:1:1000000"}
    with pytest.raises(UsageError, match=r"^1,000,000 trials are more than the 1,000 that"):
        client.sweep("selftest", space)


def test_a_metric_that_the_kind_never_records_is_named(client: Client) -> None:
    client.sweep("selftest", {"steps": "1"}, maximize="anything")
    work(client, 1.0)
    with pytest.raises(UsageError, match="no selftest job has recorded 'vaule': did you mean"):
        client.sweep("selftest", {"steps": "1"}, maximize="vaule")
    with pytest.warns(UserWarning, match="no selftest job has recorded 'colour' so far"):
        client.sweep("selftest", {"steps": "1"}, maximize="colour")


@pytest.mark.parametrize(
    ("parallel", "end"), [(None, (2.0, 3.0, 4.0)), (2, (3.0, 6.0, 9.0)), (5, (2.0, 3.0, 4.0))]
)
def test_what_a_sweep_would_cost_counts_how_many_run_at_a_time(
    client: Client, monkeypatch: pytest.MonkeyPatch, parallel: int | None, end: Any
) -> None:
    told = Estimate(
        kind="selftest", jobs=5, now=datetime.now(UTC), time=Range(1, 2, 3), end=Range(2, 3, 4)
    )
    monkeypatch.setattr(cost, "of_new", lambda _, jobs, total: replace(told, jobs=total))
    plan = client.check_sweep("selftest", {"steps": "1,2,3,4,5"}, parallel=parallel)
    with client.db.read() as connection:
        found = cost.cost(connection, plan)
        assert reading.last_sweeps(connection) == [], "nothing is entered"
    assert found is not None
    assert (found.jobs, found.end) == (5, end)


def computed(client: Client) -> None:
    """Let the next job succeed, by the code that there is."""
    with client.db.write() as connection:
        [job] = claims.claim_batch(
            connection, worker="w", host="h", queues=["default"], token=uuid.uuid4().hex,
            lease=60.0, versions={}, code=lambda kind: code_of(get_kind(kind, client.settings)),
        )  # fmt: skip
    finish(client.db, job.attempt_id, Outcome(State.SUCCEEDED, result={"val_loss": 1.0}))


def test_what_earlier_jobs_have_computed_is_not_computed_again(client: Client) -> None:
    first = client.sweep("sum-regressor", {"epochs": "1,2"})
    for _ in range(2):
        computed(client)
    again = client.sweep("sum-regressor", {"epochs": "1,2,3"}, parallel=1)
    assert again.sweep.states == {"succeeded": 1}
    drives = driver(again)
    drives.step()
    drives.step()
    assert again.refresh().sweep.states == {"succeeded": 2, "queued": 1}
    assert [trial.value for trial in again.trials] == [1.0, 1.0, None]
    twins = [get(client.db, trial.job or 0).twin_of for trial in again.trials]
    assert twins == [*(trial.job for trial in first.trials), None]
    anew = client.sweep("sum-regressor", {"epochs": "1,2"}, cache=False)
    assert anew.sweep.states == {"queued": 2}
    origin = get(client.db, anew.trials[0].job or 0).origin
    assert origin is not None
    assert origin["host"] == client.settings.host


# ---------------------------------------------------------------------------- driven


def test_a_bound_number_of_trials_is_unfinished_at_a_time(client: Client) -> None:
    handle = client.sweep("selftest", {"steps": "1,2,3,4,5"}, parallel=2, maximize="value")
    assert (handle.sweep.stage, numbers(handle)) == (Stage.OPEN, [1, 2])
    drives = driver(handle)
    drives.step()
    assert numbers(handle) == [1, 2], "there is no room"
    work(client, 1.0)
    drives.step()
    assert numbers(handle) == [1, 2, 3]
    for value in (5.0, 3.0):
        work(client, value)
    sweep, trials = drives.step()
    assert (len(trials), sweep.stage) == (5, Stage.COMPLETE), "the rest needs nobody"
    for value in (2.0, 4.0):
        work(client, value)
    assert [trial.number for trial in handle.refresh().ranked()] == [2, 5, 3, 4, 1]
    assert handle.best is not None
    assert handle.best.value == 5.0
    assert [t.number for t in handle.ranked(minimize="value")] == [1, 4, 3, 5, 2]
    assert handle.wait(0).sweep.state == "succeeded"


def test_whoever_goes_on_adds_what_is_missing_and_nothing_twice(client: Client) -> None:
    asked: dict[str, Any] = {"method": "random", "trials": 6, "seed": 3}
    space = {"steps": "int:1:1000"}
    whole = client.sweep("selftest", space, **asked)
    wanted = [trial.params for trial in whole.trials]
    whole.cancel()
    handle = client.sweep("selftest", space, parallel=1, **asked)
    for _ in range(6):
        driver(handle).step()
        with client.db.write() as connection:  # each dies at once, and leaves its lease
            connection.execute(update(t.sweeps).values(driver_until=t.now(-1)))
        work(client, 1.0)
    driver(handle).step()
    assert [trial.params for trial in handle.refresh().trials] == wanted
    assert handle.sweep.finished
    with client.db.read() as connection:
        own = select(func.count()).select_from(t.jobs).where(t.jobs.c.sweep == handle.id)
        assert connection.scalar(own) == 6


def test_one_drives_at_a_time_and_a_zombie_adds_nothing(client: Client) -> None:
    handle = client.sweep("selftest", {"steps": "1,2,3"}, parallel=1)
    first, second = driver(handle), driver(handle)
    first.step()
    with pytest.raises(SweepDrivenError, match=rf"^sweep {handle.id} is driven by \S+ pid \d+: "):
        second.step()
    assert handle.refresh().sweep.driven
    with client.db.write() as connection:
        connection.execute(update(t.sweeps).values(driver_until=t.now(-1)))
    assert handle.refresh().sweep.state == "interrupted"
    second.step()
    work(client, 1.0)
    with pytest.raises(SweepDrivenError):  # it had been frozen, and has seen that there is room
        first._add(handle.refresh().sweep, handle.trials)
    with pytest.raises(SweepDrivenError), client.db.write() as connection:
        life.prune(connection, handle.id, first.name, 1, "it is worse")
    assert numbers(handle) == [1]
    second.step()
    assert numbers(handle) == [1, 2]


def test_the_same_trial_is_added_once(client: Client) -> None:
    handle = client.sweep("selftest", {"steps": "1,2,3"}, parallel=1)
    drives = driver(handle)
    drives.step()
    seen = handle.refresh().trials
    work(client, 1.0)
    trials = [replace(each, state=State.SUCCEEDED) for each in seen]
    assert drives._add(handle.sweep, trials)
    drives._add(handle.sweep, trials)
    assert numbers(handle) == [1, 2]


def test_a_cancelled_sweep_gets_no_more_trials(client: Client) -> None:
    handle = client.sweep("selftest", {"steps": "1,2,3,4"}, parallel=2)
    running = work(client)
    drives = driver(handle)
    assert handle.cancel() == 2
    assert handle.sweep.state == "cancelled"
    assert get(client.db, running.id).cancel_requested
    with pytest.raises(SweepDrivenError, match="was taken away"):  # it had not seen that
        drives._add(handle.sweep, [])
    assert numbers(handle) == [1, 2]
    finish(client.db, running.attempt_id, Outcome(State.CANCELLED))
    with pytest.raises(JobCancelledError, match="was cancelled"):
        handle.wait(0)
    with pytest.raises(UsageError, match="was cancelled: start another"):
        handle.resume()
    assert handle.cancel() == 0


def test_a_sweep_of_which_a_trial_failed_says_so(client: Client) -> None:
    handle = client.sweep("selftest", {"steps": "1,2"}, retries=0)
    job = work(client)
    finish(client.db, job.attempt_id, Outcome(State.FAILED, reason="error", error="no"))
    with pytest.raises(WaitTimeoutError, match=r"has 1 of 2 trials done after 0s"):
        handle.wait(0)
    work(client, 1.0)
    with pytest.raises(JobFailedError, match="1 of 2 trials failed"):
        handle.wait()
    assert handle.sweep.state == "succeeded"
    with pytest.raises(UnknownSweepError, match=r"^no sweep 99: `cvq sweep ls`"):
        client.sweep_of(99)


def test_optuna_goes_on_from_the_history_and_leaves_no_table_of_its_own(client: Client) -> None:
    handle = client.sweep(
        "selftest", {"steps": "int:1:100"}, method="optuna", trials=5, maximize="value", parallel=2
    )
    while not handle.refresh().sweep.finished:
        for _ in range(handle.sweep.unfinished):
            work(client, 1.0)
        if handle.refresh().sweep.stage == Stage.OPEN:
            driver(handle).step()  # another one each time
            with client.db.write() as connection:
                connection.execute(update(t.sweeps).values(driver=None))
    assert numbers(handle) == [1, 2, 3, 4, 5]
    tables = set(inspect(client.db.engine).get_table_names())
    assert tables - {"alembic_version"} == set(t.metadata.tables)
    with client.db.read() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").all() == [
            (t.SCHEMA_VERSION,)
        ]


# ---------------------------------------------------------------------------- pruned


def test_a_trial_that_is_worse_than_half_is_pruned_and_has_not_failed(client: Client) -> None:
    said: list[str] = []
    handle = client.sweep(
        "selftest", {"steps": "1,2,3,4,5"}, maximize="score", prune="median", warm_up=2
    )
    for value in (0.7, 0.8, 0.9):
        work(client, value, points=(value / 2, value))
    bad, fine = work(client, points=(0.1, 0.2)), work(client, points=(0.5, 0.85))
    drives = Driver(client, handle.refresh().sweep, said.append)
    drives.step()
    assert get(client.db, bad.id).cancel_requested
    assert not get(client.db, fine.id).cancel_requested
    why = "pruned: score 0.2 by step 2 is worse than the median 0.825 of 4 others"
    assert said == [f"trial 4 (steps=4) {why}"]
    assert events(client, bad.id)[-2:] == [
        (why, f"sweep {handle.id}"), ("cancel requested", f"sweep {handle.id}")
    ]  # fmt: skip
    drives.step()
    assert len(said) == 1, "once is enough"
    finish(client.db, bad.attempt_id, Outcome(State.CANCELLED))
    assert (get(client.db, bad.id).state, get(client.db, bad.id).reason) == ("cancelled", PRUNED)
    finish(client.db, fine.attempt_id, Outcome(State.SUCCEEDED, result={}))
    sweep, _ = drives.step()
    assert sweep.states == {"succeeded": 4, "pruned": 1}
    assert handle.wait(0).sweep.state == "succeeded", "being pruned is no failure"
    assert [trial.number for trial in handle.ranked()] == [3, 5, 2, 1, 4]


def test_a_pruned_trial_stays_pruned_where_its_worker_dies(client: Client) -> None:
    handle = client.sweep("selftest", {"steps": "1"}, maximize="score", prune="median")
    job, drives = work(client), driver(handle)
    drives.step()
    with client.db.write() as connection:
        assert life.prune(connection, handle.id, drives.name, job.id, "it is worse")
        connection.execute(update(t.jobs).values(lease_until=t.now(-1)))
    reap_and_promote(client.db)
    assert handle.refresh().sweep.states == {"pruned": 1}


def test_what_was_asked_of_a_job_by_somebody_is_not_called_pruned(client: Client) -> None:
    handle = client.sweep("selftest", {"steps": "1"}, maximize="score", prune="median")
    job, drives = work(client), driver(handle)
    drives.step()
    client.cancel(job.id)
    with client.db.write() as connection:
        assert not life.prune(connection, handle.id, drives.name, job.id, "it is worse")
    finish(client.db, job.attempt_id, Outcome(State.CANCELLED))
    assert handle.refresh().sweep.states == {"cancelled": 1}


def test_a_metric_without_a_curve_prunes_nothing_and_is_told_once(client: Client) -> None:
    said: list[str] = []
    handle = client.sweep("selftest", {"steps": "1,2,3"}, minimize="value", prune="median")
    for value in (1.0, 2.0):
        work(client, value)
    work(client)
    drives = Driver(client, handle.refresh().sweep, said.append)
    drives.step()
    drives.step()
    assert said == ["value has no curve in what has succeeded: nothing is pruned by it"]


def test_a_sweep_is_found_in_a_long_history_without_going_through_it(home: Path) -> None:
    with opened() as database:
        schema.ensure(database)
        client = Client(database.settings)
        client.__dict__["db"] = database

        def act() -> None:
            with database.write() as connection:
                reading.get_sweep(connection, 1)
                reading.trials_of(connection, 1, "loss")
                reading.recorded(connection, "selftest")
                life.cancel(connection, 1, "ann")

        with database.write() as connection:
            connection.execute(t.sweeps.insert().values(ROW))
        plans = sqlite_plans(database, act)
    scans = [plan for plan in plans if plan.startswith("SCAN") and "VIRTUAL" not in plan]
    assert len(plans) > 6
    assert scans == []


def test_the_trials_outlive_their_jobs(client: Client) -> None:
    handle = client.sweep("selftest", {"steps": "1,2"}, parallel=1)
    work(client, 1.0)
    with client.db.write() as connection:
        connection.execute(t.jobs.delete())
    driver(handle).step()
    assert [(trial.state, trial.job is None) for trial in handle.refresh().trials] == [
        ("gone", True), ("queued", False)
    ]  # fmt: skip
    assert (handle.sweep.done, handle.sweep.submitted) == (1, 2)


# ---------------------------------------------------------------------------- killed

_DRIVE = """
from cvq import Client
Client().sweep_of(1).resume(on_look=lambda sweep, trials: print(len(trials), flush=True))
"""


@pytest.mark.slow
def test_a_driver_that_is_killed_is_followed_by_another(client: Client) -> None:
    url = client.settings.database_url
    env = os.environ | ({"CVQ_DATABASE_URL": url} if url else {})
    handle = client.sweep(
        "selftest", {"steps": "int:1:100"}, method="optuna", trials=4, maximize="value", parallel=1
    )

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*PYTHON, _DRIVE], env=env, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    first = start()
    try:
        work(client, 1.0)
        eventually(lambda: len(handle.refresh().trials) == 2, "the driver to add a trial")
        os.kill(first.pid, signal.SIGKILL)
        first.wait(HANG_S)
        work(client, 2.0)  # what is queued goes on
        assert handle.refresh().sweep.driven, "its lease has not ended"
        second = start()  # which sees that its process is gone
        try:
            for value in (3.0, 4.0):
                eventually(lambda: handle.refresh().sweep.states.get("queued"), "a trial")
                work(client, value)
            assert second.wait(HANG_S) == 0
        finally:
            second.kill()
            second.communicate()
    finally:
        first.kill()
        first.communicate()
    assert numbers(handle) == [1, 2, 3, 4]
    assert handle.sweep.finished
