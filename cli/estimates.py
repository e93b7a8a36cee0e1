"""Estimates in words: how long a job will take, when it starts and is done, what it costs.

Nothing fails for want of an estimate: what goes wrong with one leaves the line out, unless
`--debug` asks for it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from cvq.text import count

from .debugging import spared
from .formats import clean
from .output import note

if TYPE_CHECKING:
    from cvq.batch import Batch
    from cvq.checks import JobOptions
    from cvq.client import Client
    from cvq.estimates import Estimate, Range
    from cvq.history import History
    from cvq.kinds.kind import Kind
    from cvq.kinds.spec import Spec
    from cvq.records import Job, NewJob

_NARROW = 1.15  # a range whose ends differ by less is one number
_SOON_S = 3.0
_LEAST_HOURS = 0.001
_ANEW_S = 10.0
_MOST_CELLS = 50  # of a list


def estimate_of(client: History, job: Job) -> str | None:
    """What there is to say of a job that has not ended; None of one that has."""
    told = job_estimate(client, job)
    return None if told is None else line(told)


def job_estimate(client: History, job: Job) -> Estimate | None:
    """The estimate of a job that has not ended, as it is now; None where there is none."""
    from cvq import queries
    from cvq.estimates import of_job

    def ask() -> Estimate | None:
        with client.db.read() as connection:
            return of_job(connection, queries.get_job(connection, job.id))

    return None if job.finished else _quietly(ask)


def batch_estimate(client: Client, batch: Batch) -> Estimate | None:
    """The estimate of a batch, some of whose jobs have not begun; None where there is none."""
    from cvq.estimates import of_batch

    def ask() -> Estimate | None:
        with client.db.read() as connection:
            return of_batch(connection, batch)

    return _quietly(ask)


def spec_estimate(client: Client, kind: Kind, spec: Spec, options: JobOptions) -> Estimate | None:
    """The estimate of a job that might be submitted; None where there is none."""
    from cvq.estimates import of_jobs

    return _quietly(lambda: of_jobs(client, kind, [spec], options))


def jobs_estimate(client: Client, jobs: Sequence[NewJob]) -> Estimate | None:
    """The estimate of jobs that might be submitted together; None where there is none."""
    from cvq.estimates import of_new

    def ask() -> Estimate | None:
        with client.db.read() as connection:
            return of_new(connection, jobs)

    return _quietly(ask)


def tell(told: Estimate | None, *, nobody: bool = True) -> None:
    """Say it to whoever reads stderr; `nobody` is whether to say, too, that no worker is there."""
    from cvq.estimates import NOBODY

    if told is not None:
        notes = told.notes if nobody else tuple(each for each in told.notes if each != NOBODY)
        note(clean(line(replace(told, notes=notes))))


def line(told: Estimate) -> str:
    """An estimate as one line.

    Such as `about 3 min (2–5 min), starts in about 10 min, done at about 14:20; from 120 jobs`.
    """
    said = [_time(told), _start(told), _done(told), _hours(told)]
    text = ", ".join(filter(None, said))
    if told.time is None:
        known = [text] if text else []
        return "no estimate: " + "; ".join([*told.notes, *known])
    basis = f"from {count(told.based_on, 'job')} of its kind" if told.based_on else ""
    return "; ".join(filter(None, [text, basis, *told.notes]))


class Outlook:
    """When each job of a list will start, or how long it goes on, where a worker is up.

    Args:
        history: whose jobs they are.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._cells: dict[int, str] = {}
        self._looked_at = -math.inf

    def look(self, rows: Sequence[object]) -> None:
        """Estimate anew, for the jobs among some rows; of a list that is watched, now and then."""
        from cvq.records import Job

        jobs = [row for row in rows if isinstance(row, Job) and _is_open(row)]
        now = time.monotonic()
        if jobs and now - self._looked_at > _ANEW_S:
            self._looked_at = now
            self._cells = self._told(jobs[:_MOST_CELLS])

    def of(self, job: Job) -> str:
        """What there is to say of a job, in a cell; nothing of one that has ended."""
        return self._cells.get(job.id, "") if _is_open(job) else ""

    def _told(self, jobs: Sequence[Job]) -> dict[int, str]:
        from cvq import queries

        with spared(), self._history.db.read() as connection:
            if any(worker.takes_jobs for worker in queries.workers(connection)):
                from cvq.estimates import of_unfinished  # which few lists need

                told = of_unfinished(connection, jobs)
                return {number: _cell(each) for number, each in told.items()}
        return {}


def _is_open(job: Job) -> bool:
    """Whether a job has not ended, and does not say itself how long it goes on."""
    return not job.finished and (job.progress or {}).get("eta_s") is None


def _cell(told: Estimate) -> str:
    if told.start is not None:
        soon = told.start.middle < _SOON_S
        return "starts now" if soon else f"starts in {rough(told.start.middle)}"
    return "" if told.end is None else f"{rough(told.end.middle)} left"


def rough(seconds: float) -> str:
    """A time in one unit, as roughly as it is known: `40 s`, `3 min`, `2.5 h`, `3 days`."""
    number, unit = _rounded(seconds)
    return f"{number} {unit}"


def _time(told: Estimate) -> str:
    if told.time is None:
        return ""
    about = f"about {rough(told.time.middle)}{_between(told.time)}"
    return about if told.jobs == 1 else f"{count(told.jobs, 'job')} of {about} each"


def _start(told: Estimate) -> str:
    if told.start is None:
        return ""
    if told.start.high < _SOON_S:
        return "starts at once"
    if told.start.middle < _SOON_S:
        return f"starts within {rough(told.start.high)}"
    return f"starts in about {rough(told.start.middle)}{_between(told.start)}"


def _done(told: Estimate) -> str:
    if told.ends_at is None:
        return ""
    what = "done" if told.jobs == 1 else "all done"
    return f"{what} at about {_clock(told.ends_at.middle, told.now)}"


def _hours(told: Estimate) -> str:
    hours = told.gpu_hours
    if hours is None or hours.middle < _LEAST_HOURS:
        return ""
    return f"{hours.middle:.2g} GPU-hours"


def _between(told: Range) -> str:
    """` (2–5 min)`; nothing where both ends are nearly the same."""
    if told.high < _NARROW * told.low or told.high < 1:
        return ""
    (low, of_low), (high, of_high) = _rounded(told.low), _rounded(told.high)
    if (low, of_low) == (high, of_high):
        return ""
    first = low if of_low == of_high else f"{low} {of_low}"
    return f" ({first}–{high} {of_high})"


def _rounded(seconds: float) -> tuple[str, str]:
    for unit, length, most in (("s", 1, 90), ("min", 60, 5400), ("h", 3600, 172_800)):
        if seconds < most:
            return _two_digits(seconds / length), unit
    return _two_digits(seconds / 86_400), "days"


def _two_digits(number: float) -> str:
    if number >= 10:
        return str(round(number))
    return f"{math.floor(number * 2 + 0.5) / 2:g}" if number >= 1 else f"{number:.1g}"


def _clock(time: datetime, now: datetime) -> str:
    """A time of day, with the day where it is another one; in the reader's own zone."""
    local, today = time.astimezone(), now.astimezone()
    days = (local.date() - today.date()).days
    if days == 0:
        return f"{local:%H:%M}"
    return f"{local:%a %H:%M}" if days < 6 else f"{local:%Y-%m-%d}"


def _quietly(ask: Callable[[], Estimate | None]) -> Estimate | None:
    """An estimate is beside what a command is for: where it fails, there is none."""
    with spared():
        return ask()
    return None
