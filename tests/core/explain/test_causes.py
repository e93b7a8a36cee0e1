"""Why a job failed."""

from __future__ import annotations

import pytest
from situations import change, crash, failed, promote, report, said, start, submit, why

from cvq import tables as t
from cvq.db import Database
from cvq.lifecycle import attempts, jobs
from cvq.tables import now

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
    again = [] if reason == "dependency-failed" else ["`cvq retry {id}` tries it again."]
    assert list(told.advice) == [line.format(id=job_id) for line in (*advice, *again)]


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
    assert told.advice[0] == f"Submit it again with a longer {option}, or with less to do."


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
    assert told.advice[-2] == (
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
