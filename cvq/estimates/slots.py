"""The slots of all workers that take jobs, and what runs on them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
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


class Slots:
    """The slots as they are now, each of a class; and what runs elsewhere, as on one that leaves.

    Attributes:
        classes: those that there are.
    """

    def __init__(self, connection: Connection, now: datetime, laws: Laws) -> None:
        self._now, self._laws = now, laws
        self._offers: dict[SlotClass, Offer] = {}
        self._placed: list[tuple[int, Any]] = []  # the class of each slot, and what it runs
        running = _running(connection)
        for worker in queries.workers(connection):
            if not worker.takes_jobs:
                continue
            mine = running.get(worker.id, [])
            for device, slot in zip(worker.devices, _classes(worker), strict=True):
                self._offers.setdefault(slot, Offer(device, worker.kinds))
                row = next((row for row in mine if row.device in (device, None)), None)
                if row is not None:
                    mine.remove(row)
                self._placed.append((list(self._offers).index(slot), row))
        for rows in running.values():
            self._placed += [(_ELSEWHERE, row) for row in rows]
        self.classes = list(self._offers)

    @cached_property
    def busy(self) -> Sequence[Busy]:
        """Each slot, with what it runs: the history of every kind that runs is read for it."""
        return [_busy(index, row, self._now, self._laws) for index, row in self._placed]

    def able(self, queue: str, needs: Needs) -> frozenset[int]:
        """The classes of slots that can run a job of a queue."""
        return frozenset(
            index
            for index, slot in enumerate(self.classes)
            if queue in slot.queues and misfit(needs, self._offers[slot]) is None
        )

    def count(self, classes: frozenset[int]) -> int:
        """How many slots are of these classes."""
        return sum(index in classes for index, _ in self._placed)


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
