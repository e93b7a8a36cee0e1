"""Why a queued job has not begun."""

from __future__ import annotations

from typing import Any

import pytest
from situations import (
    HOUR,
    arrive,
    change,
    checkpoint,
    end,
    report,
    said,
    start,
    submit,
    why,
)

from cvq import tables as t
from cvq.db import Database
from cvq.records import Artifact
from cvq.states import Role, State
from cvq.tables import now


@pytest.mark.parametrize(
    ("queue", "advice"),
    [
        ("default", "`cvq up -d` starts one."),
        ("gpu", "`cvq up -d` on a machine with a GPU starts one."),
        ("host.lab", "`cvq up -d` on lab starts one."),
        ("mine", "`cvq worker --queues mine` starts one."),
        ("m; rm", "`cvq worker --queues 'm; rm'` starts one."),
    ],
)
def test_queued_where_nobody_serves(database: Database, queue: str, advice: str) -> None:
    arrive(database, queues=["another"])
    told = why(database, submit(database, queue=queue))
    assert told.why == f"No live worker serves the queue '{queue}'."
    assert told.advice == (advice,)


def test_queued_where_the_worker_fell_silent(database: Database) -> None:
    arrive(database)
    change(database, t.workers, seen_at=now(-HOUR))
    assert said(database, submit(database)) == (
        "No live worker serves the queue 'default'. lab.1 has fallen silent."
    )


@pytest.mark.parametrize("change_", [{"state": "draining"}, {"drain": "finish"}])
def test_queued_where_every_worker_leaves(database: Database, change_: dict[str, str]) -> None:
    arrive(database)
    change(database, t.workers, **change_)
    job_id = submit(database)
    assert said(database, job_id) == (
        "Every worker of the queue 'default' is about to leave: lab.1."
    )
    arrive(database, "lab.2")
    assert "about to leave" not in said(database, job_id)


def test_queued_for_a_gpu_that_nobody_has(database: Database) -> None:
    arrive(database)
    job_id = submit(database, device="gpu")
    told = why(database, job_id)
    assert told.why == (
        "It asks for a GPU, and no live worker of the queue 'default' has one: lab.1."
    )
    assert told.advice == (
        "`cvq up -d` on a machine with a GPU starts one.",
        f"Or `cvq cancel {job_id}`, and submit it again without --gpu.",
    )
    arrive(database, "lab.2", devices=["cuda:1"])
    assert "A slot is free on lab.2:" in said(database, job_id)


@pytest.mark.parametrize(
    ("kinds", "why_", "advice"),
    [
        ({}, "does not know the kind 'selftest'.", "install its plug-in there"),
        (
            {"selftest": {"fields": [], "missing": []}},
            "has another version of selftest, which does not know 'seed'.",
            "bring the same version of cvq (or of the plug-in) there and restart it.",
        ),
        (
            {"selftest": {"fields": None, "missing": ["torch"]}},
            "cannot run selftest, as torch is not installed there.",
            "install torch there and restart it.",
        ),
    ],
)
def test_queued_for_a_worker_that_can(
    database: Database, kinds: Any, why_: str, advice: str
) -> None:
    arrive(database, kinds={"kinds": kinds, "broken": {}})
    job_id = submit(database, spec={"seed": 1})
    told = why(database, job_id)
    assert told.why == f"No live worker of the queue 'default' can run it. lab.1 {why_}"
    assert told.advice[0].startswith(f"For lab.1: {advice}")
    assert "cvq drain" in told.advice[1]
    arrive(database, "lab.2")  # of a cvq that announces nothing
    assert "A slot is free on lab.2" in said(database, job_id)


def test_queued_behind_a_job_on_the_only_slot(database: Database) -> None:
    arrive(database)
    running = submit(database)
    start(database)
    job_id = submit(database)
    told = why(database, job_id)
    assert told.why == f"The only slot of the queue 'default' is busy with job {running}."
    assert told.advice == (
        "`cvq up -d --workers N` starts more workers, on a machine that has room for them.",
    )


def test_queued_behind_others_names_who_is_done_first(database: Database) -> None:
    arrive(database, slots=2)
    arrive(database, "lab.2")
    running = [submit(database) for _ in range(3)]
    for worker, eta in (("lab.1", 7200.0), ("lab.1", 300.0), ("lab.2", None)):
        at = {"done": 1, "total": 9, "unit": "step", "eta_s": eta}
        report(database, start(database, worker), progress=at)
    submit(database, priority=9)
    job_id = submit(database)
    told = why(database, job_id)
    listed = f"{running[0]}, {running[1]} and {running[2]}"
    assert told.why == (
        f"All 3 slots of the queue 'default' are busy with jobs {listed}, and 1 job is before "
        f"it. Job {running[1]} should be done in about 5m00s."
    )
    assert told.advice[1] == "Jobs with a higher --priority go first; this one has 5."


def test_queued_beside_a_free_slot(database: Database) -> None:
    arrive(database, slots=2)
    first = submit(database)
    start(database)
    job_id = submit(database)
    assert first < job_id
    told = why(database, job_id, redis="it is gone")
    assert told.why == (
        "A slot is free on lab.1: it should start within two seconds. "
        "Without Redis a worker finds it some seconds later: it is gone."
    )
    assert told.advice == ()
    third = submit(database)
    assert said(database, third) == (
        "A slot is free on lab.1: 1 job is before it, the first of which should start within two "
        "seconds."
    )


def test_queued_for_long_beside_a_free_slot(database: Database) -> None:
    arrive(database)
    job_id = submit(database)
    change(database, t.jobs, queued_at=now(-2 * HOUR))
    # The worker has just come: it cannot have done anything yet.
    assert why(database, job_id).advice == ()
    change(database, t.workers, started_at=now(-3 * HOUR))
    told = why(database, job_id)
    assert told.why.endswith("It has been queued for 2h00m already.")
    assert told.advice == ("If it still does not start, `cvq doctor` looks for what is wrong.",)


def test_queued_again_by_a_worker_that_left(database: Database) -> None:
    job_id = submit(database)
    attempt = start(database)
    checkpoint(database, attempt, 7)
    end(database, attempt, State.QUEUED, reason="preempted")
    assert said(database, job_id) == (
        "Attempt 1 was stopped, as its worker left. "
        "The next goes on from its checkpoint after step 7. "
        "No live worker serves the queue 'default'."
    )


def test_a_checkpoint_of_another_name_promises_nothing(database: Database) -> None:
    job_id = submit(database)
    attempt = start(database)
    mine = Artifact("mine.pt", Role.CHECKPOINT, "x", "file:///mine", "0" * 64, 5)
    report(database, attempt, artifacts=[mine])
    end(database, attempt, State.QUEUED, reason="preempted")
    assert "checkpoint" not in said(database, job_id)
