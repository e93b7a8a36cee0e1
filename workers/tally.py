"""What a worker has done so far, counted for Prometheus."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cvq.records import Job
from cvq.states import State

if TYPE_CHECKING:
    from .worker import Worker

LOST = "lost"  # an attempt whose lease went to somebody else


class Tally:
    """Counts attempts by kind and end, the files that they read, and the time that they took."""

    def __init__(self) -> None:
        self.attempts: Counter[tuple[str, str]] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.inputs: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, job: Job, state: str | None, seconds: float) -> None:
        """An attempt of a job has ended; None where its lease was lost."""
        with self._lock:
            self.attempts[job.kind, state or LOST] += 1
            self.seconds[job.kind] += seconds
            if state == State.SUCCEEDED:
                self.inputs[job.kind] += inputs_of(job.spec)


def inputs_of(spec: dict[str, Any]) -> int:
    """How many files a specification names; one that holds items counts as these."""
    number = 0
    for value in spec.values():
        for file in value if isinstance(value, list) else [value]:
            if isinstance(file, dict) and "sha256" in file:
                items = file.get("items")
                number += items if isinstance(items, int) else 1
    return number


class WorkerFigures:
    """Collects what a worker is and has done."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def collect(self) -> Iterator[Any]:
        """What Prometheus is told, as its client asks it."""
        from prometheus_client.core import CounterMetricFamily as Counted
        from prometheus_client.core import GaugeMetricFamily as Gauge

        slots, tally = self._worker.slots, self._worker.tally
        yield Gauge("cvq_worker_slots", "Places for jobs.", value=len(slots))
        yield Gauge("cvq_worker_slots_busy", "Those in use.", value=len(slots) - slots.free)
        yield Gauge(
            "cvq_worker_heartbeat_age_seconds", "Time since the database has last answered.",
            value=time.monotonic() - self._worker.heard_at,
        )  # fmt: skip
        attempts = Counted(
            "cvq_worker_attempts", "Attempts that have ended.", labels=["kind", "state"]
        )
        for key, number in list(tally.attempts.items()):
            attempts.add_metric(list(key), number)
        yield attempts
        sums: tuple[tuple[str, str, Mapping[str, float]], ...] = (
            ("cvq_worker_attempt_seconds", "Time that attempts took, added up.", tally.seconds),
            ("cvq_worker_inputs", "Files, or items of shards, of jobs done.", tally.inputs),
        )
        for name, about, counts in sums:
            family = Counted(name, about, labels=["kind"])
            for kind, value in list(counts.items()):
                family.add_metric([kind], value)
            yield family
