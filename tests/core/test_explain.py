"""Why a job is as it is: one state of the database after the other, put into sentences."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Table, event, update

from cvq import queries
from cvq import tables as t
from cvq.db import Database
from cvq.explain.explanation import Explanation, explain
from cvq.explain.holdups import Holdup, holdup
from cvq.ids import AttemptId
from cvq.lifecycle import attempts, claims, jobs, workers
from cvq.records import Artifact, LogLine, MetricPoint, NewJob, Outcome
from cvq.states import Role, State
from cvq.tables import now

HOUR = 3600


def submit(database: Database, **values: Any) -> int:
    values = {"kind": "selftest", "user": "ann", "spec": {}} | values
    with database.write() as connection:
        return jobs.submit(connection, NewJob(spec_hash="0", **values))


def arrive(database: Database, name: str = "lab.1", **columns: Any) -> None:
    entry = {"host": "lab", "pid": 1, "devices": ["cpu"], "queues": ["default"], "slots": 1}
    with database.write() as connection:
        workers.register(connection, id=name, **{"lease": 600.0, **entry, **columns})


def start(
    database: Database, worker: str = "lab.1", device: str | None = "cpu", lease: float = 600.0
) -> AttemptId:
    with database.write() as connection:
        job = claims.claim(
            connection,
            worker=worker,
            host="lab",
            queues=["default", "gpu"],
            token=uuid.uuid4().hex,
            lease=lease,
            device=device,
        )
    assert job is not None
    return job.attempt_id


def end(
    database: Database, attempt: AttemptId, state: str = State.SUCCEEDED, **outcome: Any
) -> None:
    with database.write() as connection:
        attempts.finish(connection, attempt, Outcome(state, **outcome), "lab.1")


def crash(
    database: Database, attempt: AttemptId, reason: str = "signal:SEGV", **more: Any
) -> None:
    end(
        database,
        attempt,
        State.FAILED,
        reason=reason,
        **{"retry": True, "error": "it died", **more},
    )


def failed(database: Database, reason: str, *, error: str | None = "it died", **more: Any) -> int:
    """A job that failed at its first attempt and was not tried again."""
    job_id = submit(database, **{"max_attempts": 1, **more})
    crash(database, start(database), reason, error=error)
    return job_id


def report(database: Database, attempt: AttemptId, **what: Any) -> None:
    with database.write() as connection:
        attempts.report(connection, attempt, **what)


def checkpoint(database: Database, attempt: AttemptId, step: int) -> None:
    name = f"checkpoint-{step:08}.safetensors"
    saved = Artifact(name, Role.CHECKPOINT, "x", f"file:///{name}", "0" * 64, 5)
    report(database, attempt, artifacts=[saved])


def change(database: Database, table: Table, **values: Any) -> None:
    """Change every row of a table."""
    with database.write() as connection:
        connection.execute(update(table).values(**values))


def promote(database: Database) -> None:
    change(database, t.jobs, not_before=None)
    with database.write() as connection:
        jobs.promote(connection, "lab.1")


def why(database: Database, job_id: int, **more: Any) -> Explanation:
    with database.read() as connection:
        return explain(connection, queries.get_job(connection, job_id), **more)


def said(database: Database, job_id: int) -> str:
    return why(database, job_id).why


# ---------------------------------------------------------------------------- waiting


def test_waiting_for_parents(database: Database) -> None:
    arrive(database)
    done, running, queued = (submit(database) for _ in range(3))
    end(database, start(database))
    start(database)
    child = submit(database, after=(done, running, queued))
    assert why(database, child) == Explanation(
        child,
        "waiting",
        f"It waits for job {running} (running) and job {queued} (queued) to succeed.",
        (f"`cvq why {running}` explains that one.",),
    )


def test_waiting_for_many_parents_names_some(database: Database) -> None:
    parents = [submit(database) for _ in range(8)]
    child = submit(database, after=tuple(parents))
    assert " and 3 more to succeed" in said(database, child)


def test_waiting_for_a_parent_that_failed(database: Database) -> None:
    parent = failed(database, "error")
    child = submit(database, after=(parent,))
    told = why(database, child)
    assert told.why == (
        f"It waits for job {parent} (failed), which did not succeed: it fails, too, in a moment."
    )
    assert told.advice == (
        f"`cvq why {parent}` explains that one.",
        "That takes a worker, and none is up: `cvq up -d` starts one.",
    )
    arrive(database)
    assert len(why(database, child).advice) == 1


def test_waiting_for_its_time(database: Database) -> None:
    time = datetime.now(UTC) + timedelta(hours=2, seconds=30)
    job_id = submit(database, not_before=time)
    clock = f"{time.astimezone():%Y-%m-%d %H:%M:%S}"
    told = why(database, job_id)
    assert told.why == f"It was submitted with --at and starts no sooner than {clock}, in 2h00m."
    assert f"`cvq cancel {job_id}`" in told.advice[0]
    parent = submit(database)
    child = submit(database, not_before=time, after=(parent,))
    assert said(database, child) == (
        f"It waits for job {parent} (queued) to succeed. "
        f"It starts no sooner than {clock}, in 2h00m, in any case."
    )


def test_waiting_after_an_attempt_that_failed(database: Database) -> None:
    job_id = submit(database)
    attempt = start(database)
    checkpoint(database, attempt, 40)
    checkpoint(database, attempt, 120)
    crash(database, attempt)
    change(database, t.jobs, not_before=datetime.now(UTC) + timedelta(minutes=4, seconds=30))
    told = why(database, job_id)
    assert re.fullmatch(
        r"Attempt 1 ended with signal:SEGV\. The next goes on from its checkpoint after step "
        r"120\. Attempt 2 of 3 starts in 4m\d\ds\.",
        told.why,
    )
    assert f"`cvq logs {job_id} --attempt 1 --tail 20`" in told.advice[0]
    assert "none is up" in told.advice[1]


def test_waiting_after_a_lost_worker(database: Database) -> None:
    job_id = submit(database)
    start(database, lease=-1.0)
    with database.write() as connection:
        attempts.reap(connection, "w")
    assert said(database, job_id) == (
        "Attempt 1 ended with worker-lost. Attempt 2 of 3 is queued in a moment."
    )


def test_waiting_for_nothing_any_more(database: Database) -> None:
    parent = submit(database)
    child = submit(database, after=(parent,))
    end(database, start(database))
    told = why(database, child)
    assert told.why == "Nothing holds it any more: it is queued in a moment."
    assert told.advice == ("That takes a worker, and none is up: `cvq up -d` starts one.",)
    arrive(database, queues=["other"])
    assert why(database, child).advice == ()


# ---------------------------------------------------------------------------- queued


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


# ---------------------------------------------------------------------------- running


def running(database: Database, **values: Any) -> int:
    """A job that has been running for an hour on a worker that is up."""
    job_id = submit(database, **values)
    arrive(database)
    attempt = start(database)
    line = LogLine(1, datetime.now(UTC), "stdout", "hello")
    report(database, attempt, logs=[line])
    change(database, t.jobs, started_at=now(-HOUR))
    return job_id


def test_running(database: Database) -> None:
    job_id = running(database)
    assert why(database, job_id) == Explanation(
        job_id,
        "running",
        "It has been running on lab (cpu) for 1h00m.",
        (f"`cvq watch {job_id}` follows it.",),
    )
    at = {"done": 30, "total": 100, "unit": "epoch", "eta_s": 720.0}
    report(database, AttemptId(job_id, 1), progress=at)
    assert said(database, job_id).endswith("It is at epoch 30 of 100, with about 12m00s to go.")
    report(database, AttemptId(job_id, 1), progress=at | {"eta_s": None})
    assert said(database, job_id).endswith("It is at epoch 30 of 100.")


def test_running_again(database: Database) -> None:
    job_id = submit(database)
    crash(database, start(database))
    promote(database)
    start(database, device=None)
    assert re.fullmatch(
        r"It has been running on lab for \d\.\ds\. "
        r"This is attempt 2 of 3, as attempt 1 ended with signal:SEGV\.",
        said(database, job_id),
    )


def test_running_on_a_silent_worker(database: Database) -> None:
    job_id = running(database, max_attempts=2)
    change(database, t.workers, seen_at=now(-150))
    change(database, t.jobs, lease_until=now(2 * HOUR + 30))
    told = why(database, job_id)
    assert re.search(
        r" Its worker lab\.1 has been silent for 2m3\ds: where that goes on, "
        r"the job is tried again in 2h00m\.$",
        told.why,
    )
    assert told.advice[1] == "Is lab up, and does it reach the database?"
    change(database, t.jobs, max_attempts=1)
    assert "the job is given up in 2h00m" in said(database, job_id)


def test_running_on_a_worker_that_lost_it(database: Database) -> None:
    job_id = running(database)
    change(database, t.jobs, lease_until=now(-1))
    told = why(database, job_id)
    assert told.why.endswith(
        "Its worker lab.1 has fallen silent, and the job stays so until another is up."
    )
    assert told.advice[1] == "`cvq up -d` starts one."
    arrive(database, "lab.2")
    assert said(database, job_id).endswith("and the job is taken from it in a moment.")


def test_running_on_a_worker_that_left_without_it(database: Database) -> None:
    job_id = running(database)
    change(database, t.jobs, lease_until=now(2 * HOUR + 30))
    with database.write() as connection:
        workers.deregister(connection, "lab.1")
    assert said(database, job_id).endswith(
        "Its worker lab.1 has left without it: it is tried again in 2h00m."
    )


def test_running_on_a_worker_that_is_asked_to_leave(database: Database) -> None:
    job_id = running(database)
    with database.write() as connection:
        workers.ask_to_drain(connection, "lab.1", "finish")
    assert said(database, job_id).endswith("Its worker leaves when it has ended.")
    with database.write() as connection:
        workers.ask_to_drain(connection, "lab.1", "stop")
    leaving = "Its worker is leaving: the job goes back to the queue."
    assert said(database, job_id).endswith(leaving)
    change(database, t.workers, drain=None, state="draining")
    assert said(database, job_id).endswith(leaving)


def test_running_and_to_be_cancelled(database: Database) -> None:
    job_id = running(database)
    with database.write() as connection:
        jobs.cancel(connection, job_id, "bob")
    change(database, t.events, time=now(-2 * HOUR))
    assert said(database, job_id).endswith(
        "bob asked 2h00m ago to cancel it: it stops within seconds."
    )


def test_running_with_limits(database: Database) -> None:
    job_id = running(database, time_limit=3 * HOUR + 30.0, soft_time_limit=2 * HOUR + 30.0)
    assert said(database, job_id).endswith(
        "It is asked to stop in 1h00m, at its limit of 2h00m. "
        "It is killed in 2h00m, at its limit of 3h00m."
    )
    for eta, late in ((3500.0, False), (3700.0, True), (None, False)):
        at = {"done": 1, "total": 2, "unit": "step", "eta_s": eta}
        report(database, AttemptId(job_id, 1), progress=at)
        assert said(database, job_id).endswith("At its pace it will not be done by then.") == late
    change(database, t.jobs, soft_time_limit=60.0)
    assert "It is asked to stop now, at its limit of 1m00s." in said(database, job_id)


def test_running_longer_than_usual(database: Database) -> None:
    for seconds in (60, 600, 1200):
        job_id = submit(database)
        end(database, start(database))
        with database.write() as connection:
            mine = t.jobs.c.id == job_id
            ended = {"started_at": now(-seconds), "finished_at": now(0.0)}
            connection.execute(update(t.jobs).where(mine).values(**ended))
    failed(database, "error")
    job_id = submit(database)
    arrive(database)
    report(database, start(database), progress={"done": 1, "total": 2, "unit": "step"})
    only = t.jobs.c.id == job_id

    def ran(seconds: float) -> str:
        with database.write() as connection:
            connection.execute(update(t.jobs).where(only).values(started_at=now(-seconds)))
        return said(database, job_id)

    assert "usual" not in ran(895)
    assert (
        "That is longer than usual: the last 3 selftest jobs that succeeded took 10m00s in the "
        "median."
    ) in ran(910)
    change(database, t.jobs, kind="another")
    assert "usual" in ran(910)
    with database.write() as connection:
        connection.execute(update(t.jobs).where(~only).values(kind="third"))
    assert "usual" not in ran(910)


def test_running_without_a_word(database: Database) -> None:
    job_id = running(database)
    change(database, t.logs, time=now(-110))
    assert "no log line" not in said(database, job_id)
    change(database, t.logs, time=now(-630))
    told = why(database, job_id)
    assert re.search(r"It has written no log line and no metric for 10m3\ds\.$", told.why)
    assert told.advice[1:] == (
        f"`cvq logs {job_id} --tail 50` shows its last lines.",
        f"If it hangs, `cvq cancel {job_id}` stops it; --time-limit does so by itself.",
    )
    point = MetricPoint("loss", 1, 0.5, datetime.now(UTC))
    report(database, AttemptId(job_id, 1), metrics=[point])
    assert "no log line" not in said(database, job_id)


# ---------------------------------------------------------------------------- failed


CASES = [
    (
        "error",
        "Attempt 1 ended with an error: it died.",
        ["`cvq logs {id} --tail 50` shows its last lines."],
    ),
    (
        "oom",
        "The memory of lab was used up (it died).",
        [
            "Submit it again with a smaller --batch-size (it was 64) or --size (it was 512).",
            "Fewer jobs at a time leave each more memory: `cvq worker --slots 1` there.",
        ],
    ),
    (
        "cuda-oom",
        "The memory of cpu of lab was too small for the job (it died).",
        [
            "Submit it again with a smaller --batch-size (it was 64) or --size (it was 512).",
            "`nvidia-smi` on lab shows whether somebody else uses the GPU, too.",
            "With --no-gpu it computes in the machine's own memory, slowly.",
        ],
    ),
    (
        "signal:SEGV",
        "Its process crashed with signal SEGV, in compiled code and not in Python's.",
        [
            "`cvq logs {id} --stream stderr --tail 50` shows its last lines.",
            "If it crashes again with the same values, a library there has a bug.",
        ],
    ),
    (
        "signal:KILL",
        "Its process was killed by signal KILL, and not by cvq.",
        [
            "`dmesg` on lab shows whether the kernel did it, for lack of memory.",
            "`cvq logs {id} --stream stderr --tail 50` shows its last lines.",
        ],
    ),
    (
        "signal:TERM",
        "Its process was killed by signal TERM, and not by cvq.",
        [
            "Somebody on lab sent it, or the job itself.",
            "`cvq logs {id} --stream stderr --tail 50` shows its last lines.",
        ],
    ),
    (
        "exit:3",
        "Its process left with exit code 3 before it had given a result.",
        ["`cvq logs {id} --stream stderr --tail 50` shows its last lines."],
    ),
    (
        "freeze",
        "Its process was there, but answered nothing any more (it died).",
        [
            "Was it paused on lab, or does compiled code keep Python from running?",
            "`cvq logs {id} --tail 50` shows its last lines.",
        ],
    ),
    (
        "worker-lost",
        "Its worker lab.1 on lab lost it (it died).",
        [
            "Was lab switched off, cut off or out of memory? `cvq workers` lists who is there.",
            "The worker's own log is in the folder logs of its CVQ_HOME on lab.",
        ],
    ),
    (
        "a new one",
        "It failed: a new one: it died.",
        [
            "`cvq show {id}` tells all that is known.",
            "`cvq logs {id} --tail 50` shows its last lines.",
        ],
    ),
]


@pytest.mark.parametrize(("reason", "sentence", "advice"), CASES, ids=[case[0] for case in CASES])
def test_every_reason_is_explained(
    database: Database, reason: str, sentence: str, advice: list[str]
) -> None:
    spec = {"size": 512, "batch_size": 64, "steps": 9, "crop": None}
    job_id = failed(database, reason, spec=spec, max_attempts=2)
    crash_again = [f"2 attempts failed ({reason} and {reason}), the last as follows."]
    promote(database)
    crash(database, start(database), reason)
    told = why(database, job_id)
    assert told.state == "failed"
    # Both attempts are used up: the last one's own reason counts.
    assert told.why == f"{crash_again[0]} {sentence}".replace("Attempt 1 ended", "Attempt 2 ended")
    assert list(told.advice) == [line.format(id=job_id) for line in advice]


def test_an_error_that_would_come_again(database: Database) -> None:
    job_id = submit(database)
    trace = "Traceback …"
    crash(
        database,
        start(database),
        "error",
        error="ValueError: no\n  such thing.",
        traceback=trace,
        retry=False,
    )
    told = why(database, job_id)
    assert told.why == (
        "Attempt 1 ended with an error: ValueError: no such thing. "
        "It was not tried again, as the same values would fail in the same way."
    )
    assert told.advice[0] == f"`cvq show {job_id} --traceback` shows where."


def test_memory_that_was_used_is_told(database: Database) -> None:
    job_id = submit(database, max_attempts=1)
    crash(database, start(database), "oom", peak_memory=12_000_000_000)
    told = why(database, job_id)
    assert told.why.endswith("The job's process took up to 12 GB of it.")
    assert told.advice[0] == "Submit it again with a smaller picture or batch."


@pytest.mark.parametrize(
    ("error", "sentence", "option"),
    [
        (
            "the soft time limit of 1800 s was reached",
            "Attempt 1 was asked to stop at its soft time limit of 30m00s.",
            "--soft-time-limit",
        ),
        (
            "the time limit of 3600 s was reached",
            "Attempt 1 was killed at its time limit of 1h00m.",
            "--time-limit",
        ),
    ],
)
def test_a_time_limit(database: Database, error: str, sentence: str, option: str) -> None:
    job_id = submit(database, time_limit=3600.0, soft_time_limit=1800.0)
    attempt = start(database)
    at = {"done": 25, "total": 100, "unit": "epoch", "eta_s": 9.0}
    report(database, attempt, progress=at)
    crash(database, attempt, "timeout", error=error, retry=False)
    change(database, t.attempts, started_at=now(-1800), finished_at=now(0.0))
    told = why(database, job_id)
    assert told.why == (f"{sentence} It was at epoch 25 of 100, so that it needs about 2h00m.")
    assert told.advice == (f"Submit it again with a longer {option}, or with less to do.",)


def test_an_attempt_that_resumed_tells_no_whole_time(database: Database) -> None:
    job_id = submit(database, time_limit=3600.0)
    crash(database, start(database))
    promote(database)
    attempt = start(database)
    report(database, attempt, progress={"done": 25, "total": 100, "unit": "step"})
    crash(database, attempt, "timeout", error="the time limit of 3600 s was reached", retry=False)
    assert said(database, job_id) == (
        "2 attempts failed (signal:SEGV and timeout), the last as follows. "
        "Attempt 2 was killed at its time limit of 1h00m. It was at step 25 of 100."
    )


def test_a_worker_that_fell_silent_for_the_only_attempt(database: Database) -> None:
    job_id = submit(database, max_attempts=1)
    start(database, lease=-1.0)
    with database.write() as connection:
        attempts.reap(connection, "w")
    told = why(database, job_id)
    assert told.why == "Its worker lab.1 on lab fell silent during the attempt."
    assert told.advice[-1] == (
        "It had one attempt only: with --retries 2 it would be tried again."
    )
    assert "one attempt" not in " ".join(why(database, failed(database, "oom")).advice)


def test_a_parent_that_failed_is_found_up_the_chain(database: Database) -> None:
    root = failed(database, "cuda-oom")
    good = submit(database)
    child = submit(database, after=(good, root))
    grandchild = submit(database, after=(child,))
    promote(database)
    told = why(database, grandchild)
    assert told.why == (f"It never started: job {root}, which it waited for, failed (cuda-oom).")
    assert told.advice[0] == f"`cvq why {root}` explains that one."
    with database.write() as connection:
        jobs.cancel(connection, good, "ann")
    other = submit(database, after=(good,))
    promote(database)
    assert f"job {good}, which it waited for, was cancelled." in said(database, other)


def test_a_parent_that_is_no_longer_known(database: Database) -> None:
    root = failed(database, "error")
    child = submit(database, after=(root,))
    promote(database)
    with database.write() as connection:
        connection.execute(t.dependencies.delete())
    assert said(database, child) == "A job that it waited for did not succeed."


# ---------------------------------------------------------------------------- other ends


def test_cancelled(database: Database) -> None:
    first, second, third = (submit(database) for _ in range(3))
    attempt, other = start(database), start(database)
    crash(database, other)
    with database.write() as connection:
        for job_id in (first, second, third):
            jobs.cancel(connection, job_id, "bob")
        jobs.cancel(connection, first, "eve")
    end(database, attempt, State.CANCELLED)
    change(database, t.events, time=now(-2 * HOUR))
    change(database, t.attempts, finished_at=now(-1 * HOUR))
    assert said(database, first) == "bob cancelled it 2h00m ago, during attempt 1."
    change(database, t.attempts, finished_at=now(-3 * HOUR))
    assert said(database, second) == "bob cancelled it 2h00m ago, after attempt 1."
    told = why(database, third)
    assert told.why == "bob cancelled it 2h00m ago, before it had started."
    assert told.advice == (f"`cvq show {third}` has its values, to submit it again.",)
    change(database, t.events, what="forgotten")
    assert said(database, third) == "It was cancelled."


def test_succeeded(database: Database) -> None:
    job_id = submit(database)
    end(database, start(database))
    change(database, t.jobs, started_at=now(-2 * HOUR), finished_at=now(0.0))
    told = why(database, job_id)
    assert told.why == "It succeeded in 2h00m, at the first attempt."
    assert told.advice == (f"`cvq show {job_id}` tells all about it.",)


def test_succeeded_in_the_end(database: Database) -> None:
    job_id = submit(database)
    crash(database, start(database), "worker-lost")
    promote(database)
    end(database, start(database), State.QUEUED, reason="preempted")
    attempt = start(database)
    result = Artifact("a.png", "result", "image/png", "file:///a.png", "0" * 64, 5)
    report(database, attempt, artifacts=[result])
    end(database, attempt)
    told = why(database, job_id)
    assert re.fullmatch(
        r"It succeeded in \d\.\ds, at attempt 3\. Attempt 1 ended with worker-lost and attempt 2 "
        r"was stopped, as its worker left\.",
        told.why,
    )
    assert told.advice == (f"`cvq get {job_id}` copies its files here.",)


# ---------------------------------------------------------------------------- whatever there is


@pytest.mark.parametrize("state", [*State, "paused"])
def test_a_job_of_any_state_without_any_history_is_explained(
    database: Database, state: str
) -> None:
    job_id = submit(database)
    with database.write() as connection:
        connection.execute(update(t.jobs).values(state=state, progress={"done": 0}))
    told = why(database, job_id)
    assert told.state == state
    assert told.why.endswith(".")


# ---------------------------------------------------------------------------- holdups


def held_up(database: Database, job_id: int) -> Holdup | None:
    with database.read() as connection:
        return holdup(connection, queries.get_job(connection, job_id))


def test_nobody_can_run_it(database: Database) -> None:
    job_id = submit(database)
    child = submit(database, after=(job_id,))
    text = "No live worker serves the queue 'default'. `cvq up -d` starts one."
    assert held_up(database, job_id) == Holdup(True, text)
    assert held_up(database, child) == Holdup(
        True, f"It waits for job {job_id}. Of that one: {text}"
    )
    arrive(database, kinds={"kinds": {}, "broken": {}})
    told = held_up(database, job_id)
    assert told is not None
    assert told.nobody
    assert "lab.1 does not know the kind 'selftest'." in told.text
    arrive(database, "lab.2")
    assert held_up(database, job_id) is held_up(database, child) is None


def test_those_that_a_job_waits_for_are_looked_at_once_each(database: Database) -> None:
    first = submit(database, queue="elsewhere")
    above: list[int] = [submit(database), first]
    arrive(database)
    for _ in range(8):  # there are 256 ways down
        above = [submit(database, after=tuple(above)) for _ in range(2)]
    asked: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *a: asked.append(a[2]))
    told = held_up(database, above[0])
    assert told is not None
    assert told.text.startswith(f"It waits for job {first}. Of that one: No live worker serves")
    assert len(asked) < 20


def test_it_waits_behind_others(database: Database) -> None:
    arrive(database)
    first = submit(database)
    start(database)
    job_id = submit(database)
    told = held_up(database, job_id)
    assert told is not None
    assert not told.nobody
    assert f"The only slot of the queue 'default' is busy with job {first}." in told.text
    assert held_up(database, first) is None


def test_nobody_queues_what_waits_or_takes_what_was_lost(database: Database) -> None:
    lost = submit(database)
    start(database, lease=-1.0)
    later = submit(database, not_before=datetime.now(UTC) + timedelta(hours=1))
    for job_id in (lost, later):
        told = held_up(database, job_id)
        assert told is not None
        assert told.nobody
        assert "`cvq up -d` starts one" in told.text
    arrive(database, queues=["other"])
    assert held_up(database, lost) is held_up(database, later) is None


def test_what_has_ended_is_held_up_by_nothing(database: Database) -> None:
    job_id = submit(database)
    end(database, start(database))
    assert held_up(database, job_id) is None


def test_a_job_that_has_begun_since_it_was_read_does_not_wait_for_itself(
    database: Database,
) -> None:
    arrive(database)
    job_id = submit(database)
    with database.read() as connection:
        as_it_was = queries.get_job(connection, job_id)
    start(database)
    with database.read() as connection:
        assert holdup(connection, as_it_was) is None
