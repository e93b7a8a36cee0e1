"""The metrics that `cvq metrics-server` has, made anew from the database at each scrape."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .. import schema
from ..db import Database
from ..errors import CvqError, MissingExtraError
from ..settings import Settings
from .census import Census, take
from .followed import Followed

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

log = logging.getLogger("cvq.monitor")

PATIENCE_S = 4.0  # for the database, of the ten that Prometheus has by default
_SHARE = 20  # so many times as long as a look took, its answer is used again
BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400)


class Figures:
    """Collects from a database; what is counted begins at 0 with this object.

    A database that is away, or does not answer in time, is `cvq_database_up 0`, and what only it
    knows is left out: Prometheus then has a gap, and no figure that is no longer true.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database: Database | None = None
        self._is_checked = False
        self._followed = Followed()
        self._census: Census | None = None
        self._seconds, self._due = 0.0, 0.0
        self._trouble = ""
        self._looking: threading.Thread | None = None
        self._lock = threading.Lock()
        self._registry = _registry()
        self._make_counts()

    def _make_counts(self) -> None:
        from prometheus_client import Counter, Histogram

        of: Any = {"registry": self._registry}
        self._ended = Counter(
            "cvq_jobs_ended", "Jobs that have ended, by how and why.",
            ["queue", "kind", "state", "reason"], **of,
        )  # fmt: skip
        self._waited = Histogram(
            "cvq_job_wait_seconds", "Time that a job was queued.", ["queue"],
            buckets=BUCKETS, **of,
        )  # fmt: skip
        self._ran = Histogram(
            "cvq_job_run_seconds", "Time that a job's last attempt took.", ["queue", "kind"],
            buckets=BUCKETS, **of,
        )  # fmt: skip

    def collect(self) -> Iterator[Any]:
        """What Prometheus is told, as its client asks it."""
        from prometheus_client.core import GaugeMetricFamily as Gauge

        with self._lock:
            census = self._look_in_time()
            yield Gauge(
                "cvq_database_up", "Whether the database has answered.", value=float(bool(census))
            )
            yield Gauge(
                "cvq_look_seconds", "Time that the last look into the database took.",
                value=self._seconds,
            )  # fmt: skip
            if census is None:
                return
            yield from _gauges(census)
            yield from self._registry.collect()

    def close(self) -> None:
        """Give the connections to the database back."""
        if self._database is not None:
            self._database.engine.dispose()

    def _look_in_time(self) -> Census | None:
        """Look, or take what the last look has found where one would cost too much."""
        if self._census is not None and time.monotonic() < self._due:
            return self._census
        if self._looking is None or not self._looking.is_alive():
            self._census = None
            self._looking = threading.Thread(target=self._look, name="cvq-monitor", daemon=True)
            self._looking.start()
        self._looking.join(PATIENCE_S)
        return None if self._looking.is_alive() else self._census

    def _look(self) -> None:
        began = time.monotonic()
        try:
            if self._database is None:
                self._database = Database(self._settings)
            if not self._is_checked:
                schema.ensure(self._database)
                self._is_checked = True
            with self._database.read() as connection:
                census, ended = take(connection), self._followed.look(connection)
        except CvqError as error:
            if str(error) != self._trouble:  # once, and not at each scrape
                log.warning("%s", error)
            self._trouble = str(error)
            return
        self._trouble = ""
        for job in ended:
            self._ended.labels(job.queue, job.kind, job.state, job.reason or "").inc()
            if job.waited is not None:
                self._waited.labels(job.queue).observe(job.waited)
            if job.ran is not None:
                self._ran.labels(job.queue, job.kind).observe(job.ran)
        self._seconds = time.monotonic() - began
        self._due = time.monotonic() + _SHARE * self._seconds
        self._census = census


def _gauges(census: Census) -> Iterator[Any]:
    from prometheus_client.core import GaugeMetricFamily as Gauge

    jobs = Gauge(
        "cvq_jobs", "Jobs that have not ended, by queue and state.", labels=["queue", "state"]
    )
    for (queue, state), number in census.jobs.items():
        jobs.add_metric([queue, state], number)
    yield jobs
    workers = Gauge("cvq_workers", "Workers that have not left, by state.", labels=["state"])
    for state, number in census.workers.items():
        workers.add_metric([state], number)
    yield workers
    yield Gauge("cvq_slots", "Places for jobs, of all workers that are alive.", value=census.slots)
    yield Gauge("cvq_slots_busy", "Those of them that run a job.", value=census.busy)


def _registry() -> CollectorRegistry:
    try:
        from prometheus_client import CollectorRegistry
    except ModuleNotFoundError:
        raise MissingExtraError("metrics", "figures for Prometheus") from None
    return CollectorRegistry()
