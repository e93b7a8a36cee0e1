"""The documented JSON, byte for byte: names, their order, and how times are written."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from cvq.batch import Batch
from cvq.records import Artifact, Attempt, Job, Worker
from cvq.states import WorkerState
from cvq.views import shapes
from cvq.views.status import Look, Queue

TIME = datetime(2026, 11, 1, 12, tzinfo=UTC)
LATER = TIME + timedelta(milliseconds=1500)
FILE = Artifact("a.png", "result", "image/png", "file:///a.png", "0" * 64, 12, attempt=1)
JOB = Job(
    id=1, kind="selftest", queue="default", priority=5, user="ann", name=None, tags={"a": "b"},
    spec={"steps": 3}, spec_hash="0", device=None, time_limit=None, soft_time_limit=None,
    state="running", reason=None, attempt=1, max_attempts=3, lease_owner="w.1", lease_until=None,
    cancel_requested=False, not_before=None, progress={"done": 1, "total": 2}, metrics={"m": 0.5},
    goals=None, result=None, error=None, created_at=TIME, queued_at=TIME, started_at=LATER,
    finished_at=None,
)  # fmt: skip
BATCH = Batch(
    id=3, kind="classify", user="ann", name=None, spec={"top": 3}, jobs=2, items=2, max_fails=None,
    created_at=TIME, states={"succeeded": 1, "running": 1},
)  # fmt: skip
ATTEMPT = Attempt(
    job_id=1, number=1, worker="w.1", host="h", pid=7, device="cpu", versions=None, seed=3,
    started_at=TIME, finished_at=None, outcome=None, reason=None, error=None, traceback=None,
    peak_memory=None, last_lines=None,
)  # fmt: skip
WORKER = Worker(
    id="w.1", host="h", pid=7, devices=["cpu"], queues=["default"], slots=1, versions=None,
    kinds={"kinds": {}, "broken": {}}, lease=30, state=WorkerState.UP, drain=None,
    started_at=TIME, seen_at=LATER, alive=True, running=[1],
)  # fmt: skip

FILE_JSON = (
    '{"name": "a.png", "role": "result", "media_type": "image/png", "uri": "file:///a.png", '
    '"bytes": 12, "sha256": "' + "0" * 64 + '"}'
)
WORKER_JSON = (
    '{"id": "w.1", "host": "h", "pid": 7, "state": "up", "drain": null, "devices": ["cpu"], '
    '"slots": 1, "queues": ["default"], "running": [1], "versions": null, '
    '"started_at": "2026-11-01T12:00:00.000Z", "seen_at": "2026-11-01T12:00:01.500Z"}'
)

BATCH_JSON = (
    '{"id": 3, "kind": "classify", "state": "running", "user": "ann", "name": null, '
    '"spec": {"top": 3}, "jobs": 2, "items": 2, "known": 0, "max_fails": null, '
    '"created_at": "2026-11-01T12:00:00.000Z", "states": {"succeeded": 1, "running": 1}}'
)


def dumped(shape: Any) -> str:
    return json.dumps(shape)


def test_a_batch() -> None:
    assert dumped(shapes.batch(BATCH)) == BATCH_JSON


def test_a_job_and_its_files() -> None:
    assert dumped(shapes.job(JOB, [FILE])) == (
        '{"id": 1, "kind": "selftest", "state": "running", "reason": null, "priority": 5, '
        '"queue": "default", "user": "ann", "name": null, "tags": {"a": "b"}, '
        '"batch": null, "sweep": null, "twin_of": null, "made_from": null, '
        '"spec": {"steps": 3}, "attempt": 1, "max_attempts": 3, '
        '"created_at": "2026-11-01T12:00:00.000Z", "started_at": "2026-11-01T12:00:01.500Z", '
        '"finished_at": null, "progress": {"done": 1, "total": 2}, "metrics": {"m": 0.5}, '
        '"artifacts": [' + FILE_JSON + '], "result": null, "error": null}'
    )


def test_an_attempt() -> None:
    assert dumped(shapes.attempt(ATTEMPT)) == (
        '{"number": 1, "worker": "w.1", "host": "h", "pid": 7, "device": "cpu", "seed": 3, '
        '"started_at": "2026-11-01T12:00:00.000Z", "finished_at": null, "outcome": null, '
        '"reason": null, "error": null, "traceback": null, "peak_memory": null, '
        '"last_lines": null, "micro_batch": null, "micro_batch_size": null}'
    )


def test_a_line_and_a_point() -> None:
    line = SimpleNamespace(attempt=1, seq=2, time=TIME, stream="stdout", text="hello")
    point = SimpleNamespace(job_id=1, attempt=1, name="m", step=3, value=0.5, time=TIME)
    assert dumped(shapes.log_line(line)) == (  # type: ignore[arg-type]
        '{"attempt": 1, "seq": 2, "time": "2026-11-01T12:00:00.000Z", "stream": "stdout", '
        '"text": "hello"}'
    )
    assert dumped(shapes.metric_point(point)) == (  # type: ignore[arg-type]
        '{"job": 1, "attempt": 1, "name": "m", "step": 3, "value": 0.5, '
        '"time": "2026-11-01T12:00:00.000Z"}'
    )


def test_a_worker_is_silent_where_it_is_not_heard_of() -> None:
    assert dumped(shapes.worker(WORKER)) == WORKER_JSON
    assert shapes.worker(replace(WORKER, alive=False))["state"] == "silent"
    gone = replace(WORKER, alive=False, state=WorkerState.GONE)
    assert shapes.worker(gone)["state"] == "gone"


def test_the_status() -> None:
    places = {"database": "d", "broker": "b", "store": "s"}
    queues = {"default": Queue(queued=2, messages=1), "gpu": Queue(queued=0, messages=None)}
    assert dumped(
        shapes.status(Look(places, "up", {"queued": 2}, queues, [WORKER], [JOB], [BATCH]))
    ) == (
        '{"database": "d", "broker": "b", "store": "s", "redis": "up", "jobs": {"queued": 2}, '
        '"queues": {"default": {"queued": 2, "doorbells": 1}, '
        '"gpu": {"queued": 0, "doorbells": null}}, "workers": [' + WORKER_JSON + "], "
        '"running": [{"id": 1, "kind": "selftest", "worker": "w.1", '
        '"progress": {"done": 1, "total": 2}}], "batches": [' + BATCH_JSON + "]}"
    )
