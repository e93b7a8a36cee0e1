"""The documented JSON shapes of jobs and all that belongs to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from .. import queries
from ..batch import Batch
from ..records import Artifact, Attempt, Job, StoredLine, StoredPoint, Worker

if TYPE_CHECKING:
    from pathlib import Path

    from ..datasets import KnownDataset
    from ..kinds.kind import Kind
    from .curves import Curve
    from .status import Look

Json = dict[str, Any]

_CHUNK = 500  # jobs whose artifacts are asked for at once


def job(row: Job, artifacts: Iterable[Artifact]) -> Json:
    """A job with the files that it has left."""
    return {
        "id": row.id,
        "kind": row.kind,
        "state": row.state,
        "reason": row.reason,
        "priority": row.priority,
        "queue": row.queue,
        "user": row.user,
        "name": row.name,
        "tags": row.tags,
        "batch": row.batch,
        "sweep": row.sweep,
        "twin_of": row.twin_of,
        "made_from": row.made_from,
        "spec": row.spec,
        "attempt": row.attempt,
        "max_attempts": row.max_attempts,
        "created_at": iso(row.created_at),
        "started_at": iso(row.started_at),
        "finished_at": iso(row.finished_at),
        "progress": row.progress,
        "metrics": row.metrics,
        "artifacts": [artifact(file) for file in artifacts],
        "result": row.result,
        "error": row.error,
    }


def job_names() -> list[str]:
    """What a job's shape has."""
    return list(job(Job(**dict.fromkeys(Job.__dataclass_fields__)), ()))  # type: ignore[arg-type]


def jobs(connection: Connection, rows: Sequence[Job]) -> Iterator[Json]:
    """Jobs, each with the files that it has left."""
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        artifacts = queries.artifacts_of(connection, [row.id for row in chunk])
        for row in chunk:
            yield job(row, artifacts[row.id])


def batch(row: Batch) -> Json:
    """Jobs that were submitted together, and how many of them are in each state."""
    return {
        "id": row.id,
        "kind": row.kind,
        "state": row.state,
        "user": row.user,
        "name": row.name,
        "spec": row.spec,
        "jobs": row.jobs,
        "items": row.items,
        "known": row.known,
        "max_fails": row.max_fails,
        "created_at": iso(row.created_at),
        "states": dict(row.states),
    }


def artifact(file: Artifact) -> Json:
    """A file that a job has left."""
    return {
        "name": file.name,
        "role": file.role,
        "media_type": file.media_type,
        "uri": file.uri,
        "bytes": file.bytes,
        "sha256": file.sha256,
    }


def attempt(row: Attempt) -> Json:
    """An attempt of a job."""
    return {
        "number": row.number,
        "worker": row.worker,
        "host": row.host,
        "pid": row.pid,
        "device": row.device,
        "seed": row.seed,
        "started_at": iso(row.started_at),
        "finished_at": iso(row.finished_at),
        "outcome": row.outcome,
        "reason": row.reason,
        "error": row.error,
        "traceback": row.traceback,
        "peak_memory": row.peak_memory,
        "last_lines": row.last_lines,
        "micro_batch": row.micro_batch,
        "micro_batch_size": row.micro_batch_size,
    }


def log_line(row: StoredLine) -> Json:
    """A line that a job has written."""
    return {
        "attempt": row.attempt,
        "seq": row.seq,
        "time": iso(row.time),
        "stream": row.stream,
        "text": row.text,
    }


def metric_point(row: StoredPoint) -> Json:
    """A value of a metric at a step."""
    return {
        "job": row.job_id,
        "attempt": row.attempt,
        "name": row.name,
        "step": row.step,
        "value": row.value,
        "time": iso(row.time),
    }


def curve(seen: Curve) -> Json:
    """A metric of a job with all its points; where one was not finite, its value is null."""
    return {
        "value": seen.value,
        "best": seen.best,
        "best_step": seen.best_step,
        "min": seen.lowest,
        "max": seen.highest,
        "points": [list(point) for point in zip(seen.steps, seen.values, strict=True)],
    }


def worker(row: Worker) -> Json:
    """A worker, as the database knows it."""
    return {
        "id": row.id,
        "host": row.host,
        "pid": row.pid,
        "state": worker_state(row),
        "drain": row.drain,
        "devices": row.devices,
        "slots": row.slots,
        "queues": row.queues,
        "running": row.running,
        "versions": row.versions,
        "started_at": iso(row.started_at),
        "seen_at": iso(row.seen_at),
    }


def worker_state(row: Worker) -> str:
    """`up`, `draining` or `gone` as the worker says; `silent` where it has said nothing lately."""
    return "silent" if row.silent else str(row.state)


def status(seen: Look) -> Json:
    """What there is to see at one moment."""
    return {
        **seen.places,
        "redis": seen.redis,
        "jobs": seen.states,
        "queues": {
            name: {"queued": queue.queued, "doorbells": queue.messages}
            for name, queue in seen.queues.items()
        },
        "workers": [worker(row) for row in seen.workers],
        "running": [
            {"id": row.id, "kind": row.kind, "worker": row.lease_owner, "progress": row.progress}
            for row in seen.running
        ],
        "batches": [batch(row) for row in seen.batches],
    }


def kind(known: Kind) -> Json:
    """A job kind, with the JSON schema of its specification."""
    return {
        "name": known.name,
        "summary": known.summary,
        "extra": known.extra,
        "schema": known.spec.model_json_schema(),
    }


def dataset(known: KnownDataset, found: Path | None) -> Json:
    """A data set that has a name, and where it lies on this machine."""
    return {
        "name": known.name,
        "about": known.about,
        "path": str(found) if found else None,
        "ready": not known.files or found is not None,
    }


def iso(time: datetime | None) -> str | None:
    """ISO 8601 in UTC with milliseconds, as in 2026-11-01T12:00:00.000Z."""
    if time is None:
        return None
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
