"""Real workers: jobs that were interrupted go on from their checkpoints, the bad ones left out."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Worker
from cvq import Client, JobHandle, queries
from cvq.records import Artifact, Job
from waiting import HANG_S, eventually

STEPS = 120


def expected_total(seed: int) -> float:
    generator = random.Random(seed)
    total = 0.0
    for _ in range(STEPS):
        total += generator.random()
    return total


def saved(handle: JobHandle) -> list[Artifact]:
    with handle.client.db.read() as connection:
        return queries.checkpoints_of(connection, handle.id)


def process_of(handle: JobHandle, attempt: int) -> int:
    def look() -> int | None:
        with handle.client.db.read() as connection:
            rows = queries.attempts_of(connection, handle.id)
        return next((row.pid for row in rows if row.number == attempt), None)

    return int(eventually(look, what=f"the process of attempt {attempt}"))


def steps_of(handle: JobHandle, attempt: int) -> list[int]:
    with handle.client.db.read() as connection:
        rows = queries.logs_of(connection, handle.id, attempt=attempt, stream="stdout")
    return [int(row.text.split()[1]) for row in rows]


def said(handle: JobHandle) -> str:
    return "\n".join(handle.logs())


def gate_of(client: Client) -> Path:
    """The file without which a job of `begun` does not go on to its end."""
    return client.settings.home / "gate"


def ended(handle: JobHandle) -> Job:
    """Let a job of `begun` go on, and wait for its end."""
    gate_of(handle.client).touch()
    return handle.wait(HANG_S)


@pytest.fixture
def begun(client: Client, start_worker: Callable[..., Worker]) -> Callable[..., JobHandle]:
    """Starts a job that saves itself after every step; returns once it has two checkpoints."""

    def begin(**values: object) -> JobHandle:
        start_worker(CVQ_CHECKPOINT_EVERY="0")
        steps = {"how": "steps", "lines": STEPS, "seed": 5, "pause": 0.05}
        gate = str(gate_of(client))  # so that no slow test comes too late
        handle = client.submit("misbehave", **steps, gate=gate, **values)
        eventually(lambda: len(saved(handle)) >= 2)
        return handle

    return begin


def test_a_job_killed_again_and_again_ends_as_if_it_never_was(
    begun: Callable[..., JobHandle],
) -> None:
    handle = begun(retries=5)
    for attempt in (1, 2, 3):
        pid = process_of(handle, attempt)
        eventually(lambda number=attempt: len(steps_of(handle, number)) > 3)
        os.kill(pid, signal.SIGKILL)
    job = ended(handle)
    assert (job.state, job.attempt) == ("succeeded", 4)
    assert job.result == {"total": expected_total(5)}
    for attempt in (2, 3, 4):
        before, after = steps_of(handle, attempt - 1), steps_of(handle, attempt)
        assert before[0] < after[0] <= before[-1] + 1, "it began anew"
        assert after == list(range(after[0], after[-1] + 1))
    assert [step for step, _ in handle.curve("total")] == list(range(1, STEPS + 1))
    assert saved(handle) == [], "checkpoints outlived the job's success"
    assert not list(Path(handle.client.settings.home, "store").rglob("checkpoint-*"))


def drain(handle: JobHandle) -> None:
    """Stop the worker; the job is queued again, with its last checkpoints."""
    with handle.client.db.read() as connection:
        [row] = queries.workers(connection)
    os.kill(row.pid, signal.SIGTERM)
    eventually(lambda: handle.refresh().state == "queued")


def test_a_drained_workers_job_goes_on_elsewhere(
    begun: Callable[..., JobHandle], start_worker: Callable[..., Worker]
) -> None:
    handle = begun(retries=0)
    drain(handle)
    assert handle.refresh().reason == "preempted"
    last = steps_of(handle, 1)[-1]
    start_worker()
    assert ended(handle).result == {"total": expected_total(5)}
    assert steps_of(handle, 2)[0] == last + 1
    assert f"resumed after step {last}" in said(handle)


def spoil(handle: JobHandle, number: int, how: Callable[[Path], object]) -> None:
    """Spoil the newest checkpoints of a job that does not run."""
    for artifact in saved(handle)[:number]:
        path = handle.client.artifacts.local_path(artifact.uri)
        assert path is not None
        how(path)


@pytest.mark.parametrize(
    "how",
    [
        lambda path: path.write_bytes(path.read_bytes()[:100]),
        lambda path: path.write_bytes(b"dear diary"),
        Path.unlink,
    ],
    ids=["truncated", "foreign", "gone"],
)
def test_a_bad_checkpoint_is_told_and_the_one_before_is_taken(
    begun: Callable[..., JobHandle],
    start_worker: Callable[..., Worker],
    how: Callable[[Path], object],
) -> None:
    handle = begun()
    drain(handle)
    last = steps_of(handle, 1)[-1]
    spoil(handle, 1, how)
    start_worker()
    assert ended(handle).result == {"total": expected_total(5)}
    assert "is of no use" in said(handle)
    assert 1 < steps_of(handle, 2)[0] <= last


def test_without_a_good_checkpoint_the_job_begins_anew(
    begun: Callable[..., JobHandle], start_worker: Callable[..., Worker]
) -> None:
    handle = begun()
    drain(handle)
    spoil(handle, 2, lambda path: path.write_bytes(b""))
    start_worker()
    assert ended(handle).result == {"total": expected_total(5)}
    assert "no checkpoint is left: the job begins anew" in said(handle)
    assert steps_of(handle, 2)[0] == 1


def test_a_full_disk_costs_the_checkpoint_and_not_the_job(
    client: Client, start_worker: Callable[..., Worker]
) -> None:
    start_worker(CVQ_CHECKPOINT_EVERY="0")
    job = client.submit("misbehave", how="steps", lines=3, seed=5, largest=500)
    assert job.wait(HANG_S).state == "succeeded"
    assert "no checkpoint after step 1, the job goes on" in said(job)


def test_a_store_that_takes_nothing_fails_no_checkpointing_job_until_its_end(
    client: Client, start_worker: Callable[..., Worker]
) -> None:
    start_worker(CVQ_CHECKPOINT_EVERY="0")
    jobs = client.settings.home / "store" / "jobs"
    shutil.rmtree(jobs, ignore_errors=True)
    jobs.write_text("in the way")  # root may write into any folder that is only marked read-only
    counting = client.submit("misbehave", how="steps", lines=3)
    assert counting.wait(HANG_S).state == "succeeded"
    assert "could not be stored, the job goes on" in said(counting)
    leaving = client.submit("selftest", steps=1, pause=0)
    eventually(lambda: leaving.refresh().attempt == 1 and leaving.state == "waiting")
    assert leaving.reason == "error"
    assert "artifact store" in leaving.error
    jobs.unlink()
    assert leaving.wait(HANG_S).state == "succeeded", "it was not tried again"
