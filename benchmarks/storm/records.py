"""What the database and the store say of a storm's jobs when it is over."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from cvq import queries
from cvq.errors import CvqError
from cvq.records import Artifact, Job
from cvq.views import filters

from .cluster import Cluster
from .ledger import AttemptRecord, Effect, JobRecord
from .plan import Plan

_ENDED = re.compile(r"attempt (\d+) (?:failed|stopped)")
_JOB_ID = re.compile(r"^job (\d+) \(number")
_SHOWN_JOBS, _SHOWN_LINES = 5, 60


def find_ids(cluster: Cluster) -> dict[int, list[int]]:
    """The ids in the database of each of the storm's numbers."""
    with cluster.client.db.read() as connection:
        jobs = filters.find(connection, filters.Filter(kinds=["storm"]))
    found: dict[int, list[int]] = {}
    for job in jobs:
        found.setdefault(int(job.tags["number"]), []).append(job.id)
    return found


def collect(cluster: Cluster, plan: Plan, cancel_asked: Iterable[int]) -> list[JobRecord]:
    """A record for each job of the plan, also where it is not in the database."""
    ids, asked = find_ids(cluster), set(cancel_asked)
    records = []
    for planned in plan.jobs:
        own = sorted(ids.get(planned.number, ()))
        state = _state_of(cluster, own[0]) if own else {"state": "missing"}
        records.append(
            JobRecord(
                planned.number,
                planned.steps,
                tuple(own),
                trait=planned.trait,
                cancel_asked=planned.number in asked,
                **state,
            )
        )
    return records


def collect_items(cluster: Cluster, plan: Plan) -> list[JobRecord]:
    """A record for each item of the plan, its temper as its trait."""
    with cluster.client.db.read() as connection:
        jobs = filters.find(connection, filters.Filter(kinds=["storm-item"]))
    ids: dict[int, list[int]] = {}
    for job in jobs:
        ids.setdefault(int(job.spec["asked"][0].split()[0]), []).append(job.id)
    records = []
    for item in plan.items:
        own = sorted(ids.get(item.number, ()))
        state = _state_of(cluster, own[0]) if own else {"state": "missing"}
        records.append(JobRecord(item.number, 0, tuple(own), trait=item.temper, **state))
    return records


def _state_of(cluster: Cluster, job_id: int) -> dict[str, Any]:
    with cluster.client.db.read() as connection:
        job = queries.get_job(connection, job_id)
        again = _queued_again(queries.events_of(connection, job_id))
        attempts = [
            AttemptRecord(
                row.number,
                row.worker,
                row.started_at.timestamp(),
                None if row.finished_at is None else row.finished_at.timestamp(),
                row.outcome,
                row.reason,
                again.get(row.number),
            )
            for row in queries.attempts_of(connection, job_id)
        ]
        lines = queries.logs_of(connection, job_id, attempt=job.attempt, stream="stdout")
        points = queries.metric_points(connection, job_id, names=["done"], attempt=job.attempt)
        artifacts = queries.artifacts_of(connection, [job_id])[job_id]
    return {
        "state": job.state,
        "result": job.result,
        "attempts": tuple(attempts),
        "output": tuple(line.text for line in lines),
        "metric_steps": tuple(point.step for point in points),
        "results": tuple(_results(cluster, job, artifacts)),
    }


def _queued_again(events: Iterable[Any]) -> dict[int, float]:
    """When the job was queued after each of its attempts."""
    found: dict[int, float] = {}
    ended = 0
    for event in events:
        if match := _ENDED.match(event.what):
            ended = int(match[1])
        elif event.what.startswith("queued") and ended:
            found.setdefault(ended, event.time.timestamp())
    return found


def _results(
    cluster: Cluster, job: Job, artifacts: list[Artifact]
) -> list[tuple[int, str | None]]:
    found: list[tuple[int, str | None]] = []
    for artifact in artifacts:
        if artifact.role != "result":
            continue
        target = cluster.home / "fetched" / f"{job.id}-{artifact.name}"
        target.parent.mkdir(exist_ok=True)
        try:
            text = cluster.client.artifacts.fetch(artifact, target).read_text()
        except CvqError:
            found.append((artifact.attempt, None))
        else:
            found.append((artifact.attempt, text))
    return found


def evidence(cluster: Cluster, faults: Iterable[str], effects: Iterable[Effect]) -> list[str]:
    """The ledger's and the workers' lines about the first jobs of which something is wrong."""
    ids = list(dict.fromkeys(int(m[1]) for fault in faults if (m := _JOB_ID.match(fault))))
    every = list(effects)
    lines = []
    for job_id in ids[:_SHOWN_JOBS]:
        lines += [str(effect) for effect in every if effect.job == job_id][-_SHOWN_LINES:]
        word = re.compile(rf"\bjob {job_id}\b")
        for worker in cluster.workers:
            said = worker.log.read_text(errors="replace").splitlines()
            lines += [f"worker {worker.number}: {line}" for line in said if word.search(line)]
    return lines
