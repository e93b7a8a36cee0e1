"""The slots of all workers that take jobs, and what runs on them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from .. import queries
from .. import tables as t
from ..matching import Needs, Offer, misfit
from ..records import Worker
from ..states import State
from .features import DEVICE, HOST, device_class, features_of
from .history import UNKNOWN, Laws, spec_of
from .simulation import Busy

_MOST_RUNNING = 1_000
_SURE = 0.1  # share of the work after which a job's own progress says best what is left
_ELSEWHERE = -1  # the class of what runs on no slot that takes jobs


@dataclass(frozen=True)
class SlotClass:
    """Slots that can run the same jobs, equally fast."""

    host: str
    device: str
    queues: tuple[str, ...]
    announced: str

    @property
    def gpu(self) -> bool:
        """Whether they are no CPUs."""
        return self.device != "cpu"

    @property
    def where(self) -> dict[str, str]:
        """What of it a job's time depends on."""
        return {HOST: self.host, DEVICE: self.device}


@dataclass(frozen=True)
class Slots:
    """The slots, each of a class; and what runs elsewhere, as on a worker that leaves.

    Attributes:
        classes: those that there are.
        busy: each slot, with what it runs.
    """

    classes: Sequence[SlotClass]
    busy: Sequence[Busy]
    _offers: list[Offer] = field(default_factory=list)

    @classmethod
    def read(cls, connection: Connection, now: datetime, laws: Laws) -> Slots:
        """As they are now."""
        classes: dict[SlotClass, Offer] = {}
        busy = []
        running = _running(connection)
        for worker in queries.workers(connection):
            if not worker.takes_jobs:
                continue
            mine = running.get(worker.id, [])
            for device, slot in zip(worker.devices, _classes(worker), strict=True):
                classes.setdefault(slot, Offer(device, worker.kinds))
                row = next((row for row in mine if row.device in (device, None)), None)
                if row is not None:
                    mine.remove(row)
                busy.append(_busy(list(classes).index(slot), row, now, laws))
        for rows in running.values():
            busy += [_busy(_ELSEWHERE, row, now, laws) for row in rows]
        return cls(list(classes), busy, list(classes.values()))

    def able(self, queue: str, needs: Needs) -> frozenset[int]:
        """The classes of slots that can run a job of a queue."""
        return frozenset(
            index
            for index, slot in enumerate(self.classes)
            if queue in slot.queues and misfit(needs, self._offers[index]) is None
        )

    def count(self, classes: frozenset[int]) -> int:
        """How many slots are of these classes."""
        return sum(slot.slot_class in classes for slot in self.busy)


def _classes(worker: Worker) -> list[SlotClass]:
    announced = json.dumps(worker.kinds, sort_keys=True, default=str)
    queues = tuple(sorted(worker.queues))
    return [
        SlotClass(worker.host, device_class(device), queues, announced)
        for device in worker.devices
    ]


def _running(connection: Connection) -> dict[str, list[Any]]:
    """What each worker runs; of jobs that run together on a slot, one."""
    jobs, a = t.jobs.c, t.attempts.c
    rows = connection.execute(
        select(
            jobs.id, jobs.kind, spec_of(connection), jobs.started_at, jobs.progress,
            jobs.lease_owner, a.device, a.host, a.micro_batch,
        )
        .join(t.attempts, (a.job_id == jobs.id) & (a.number == jobs.attempt))
        .where(t.in_state(State.RUNNING))
        .limit(_MOST_RUNNING)
    ).all()  # fmt: skip
    found: dict[str, dict[Any, Any]] = {}
    for row in rows:
        found.setdefault(row.lease_owner, {})[row.micro_batch or row.id] = row
    return {worker: list(mine.values()) for worker, mine in found.items()}


def _busy(slot_class: int, row: Any, now: datetime, laws: Laws) -> Busy:
    if row is None:
        return Busy(slot_class)
    device = device_class(row.device)
    law = laws.of(row.kind, gpu=device != "cpu")
    time = UNKNOWN
    if law is not None and isinstance(row.spec, dict):
        where = {HOST: str(row.host), DEVICE: device}
        time = law.times.predict_roughly(features_of(row.spec) | where)
    ran = max(0.0, (now - (row.started_at or now)).total_seconds())
    return Busy(slot_class, row.id, ran, time, time_left(row.progress), row.kind)


def time_left(progress: Any) -> float | None:
    """The seconds that a job itself says are left, once that says more than other jobs do."""
    at = progress if isinstance(progress, dict) else {}
    total, done, eta = at.get("total"), at.get("done"), at.get("eta_s")
    if not total or eta is None or not done or done / total < _SURE:
        return None
    return float(eta)
