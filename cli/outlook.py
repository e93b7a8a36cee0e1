"""What is estimated of the jobs of a list: when each will start, or how long it goes on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cvq.states import State
from cvq.text import about, clock_about, join

from .debugging import spared
from .estimates import SOON_S
from .job_fields import plain
from .output import Column

if TYPE_CHECKING:
    from cvq.estimates import Estimate
    from cvq.history import History
    from cvq.records import Job

_ANEW_S = 10.0
MOST = 50  # jobs of a list that are estimated
NO_WORKER = "nothing starts: no worker is up"


class Outlook:
    """The estimates of the newest jobs of a list that have not ended.

    Args:
        history: whose jobs they are.
        everything: of jobs, too, that say themselves how long they go on; and without a worker.
    """

    def __init__(self, history: History, *, everything: bool = False) -> None:
        self._history, self._all = history, everything
        self._told: Mapping[int, Estimate] = {}
        self._looked_at = -math.inf
        self._idle = False  # some jobs are queued, and no worker takes any

    def look(self, rows: Sequence[object]) -> None:
        """Estimate anew, for the jobs among some rows; of a list that is watched, now and then."""
        from cvq.records import Job

        jobs = [row for row in rows if isinstance(row, Job) and self._is_asked(row)]
        now = time.monotonic()
        if jobs and now - self._looked_at > _ANEW_S:
            self._looked_at = now
            self._told = self._estimates(jobs[:MOST])

    def of(self, job: Job) -> Estimate | None:
        """What there is of a job; None of one that has ended."""
        return self._told.get(job.id) if self._is_asked(job) else None

    def cell(self, job: Job) -> str:
        """The same in a cell."""
        told = self.of(job)
        return "" if told is None else _cell(told)

    def columns(self, now: datetime) -> dict[str, Column[Job]]:
        """The columns that are shown where they are asked for, by their names."""
        return {name: self._column(name, now) for name in _MIDDLES}

    def _column(self, name: str, now: datetime) -> Column[Job]:
        return Column(
            name,
            lambda job: _text(self._middle(job, name), now),
            lambda job: plain(self._middle(job, name)),
            right=True,
            rank=2,
        )

    def _middle(self, job: Job, name: str) -> Any:
        told = self.of(job)
        return None if told is None else _MIDDLES[name](told)

    def shape(self, job: Job) -> dict[str, Any]:
        """The same as JSON has it, and the whole estimate."""
        told = self.of(job)
        found = {name: plain(self._middle(job, name)) for name in _MIDDLES}
        return {**found, ESTIMATE: None if told is None else told.to_json()}

    def note(self) -> str | None:
        """Why there is nothing to say of some jobs; None where there is of all."""
        if self._idle:
            return NO_WORKER
        silent = {job: told for job, told in self._told.items() if told.notes and told.end is None}
        if not silent:
            return None
        reason = next(iter(silent.values())).notes[0]
        jobs = [job for job, told in silent.items() if told.notes[0] == reason]
        return f"no estimate of job{'s' * (len(jobs) > 1)} {join(jobs)}: {reason}"

    def _is_asked(self, job: Job) -> bool:
        if job.finished:
            return False
        return self._all or (job.progress or {}).get("eta_s") is None

    def _estimates(self, jobs: Sequence[Job]) -> Mapping[int, Estimate]:
        from cvq import queries

        with spared(), self._history.db.read() as connection:
            up = any(worker.takes_jobs for worker in queries.workers(connection))
            self._idle = not up and any(job.state == State.QUEUED for job in jobs)
            if up or self._all:
                from cvq.estimates import of_unfinished  # which few lists need

                return of_unfinished(connection, jobs)
        return {}


def _cell(told: Estimate) -> str:
    if told.start is not None:
        soon = told.start.middle < SOON_S
        return "starts now" if soon else f"starts in {about(told.start.middle)}"
    return "" if told.end is None else f"{about(told.end.middle)} left"


def _takes(told: Estimate) -> float | None:
    return None if told.time is None else told.time.middle


def _starts_at(told: Estimate) -> datetime | None:
    return None if told.starts_at is None else told.starts_at.middle


def _ends_at(told: Estimate) -> datetime | None:
    return None if told.ends_at is None else told.ends_at.middle


_MIDDLES: dict[str, Callable[[Estimate], Any]] = {
    "takes": _takes,
    "starts_at": _starts_at,
    "ends_at": _ends_at,
}
COLUMNS = frozenset(_MIDDLES)
"""What a list can show of estimates where it is asked for: medians, of times in seconds."""
ESTIMATE = "estimate"
"""What JSON has of them: the whole."""


def _text(value: float | datetime | None, now: datetime) -> str:
    if value is None:
        return ""
    return clock_about(value, now) if isinstance(value, datetime) else about(value)
