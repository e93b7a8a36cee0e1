"""Estimates in words: how long a job will take, when it starts and is done, what it costs.

Nothing fails for want of an estimate: what goes wrong with one leaves the line out, unless
`--debug` asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cvq.text import about, between, clock_about, count

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
SOON_S = 3.0
_LEAST_HOURS = 0.001


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

    Such as `about 3m (2–5m), starts in about 10m, done at about 14:20; from 120 jobs`.
    """
    said = [_time(told), _start(told), _done(told), _hours(told)]
    text = ", ".join(filter(None, said))
    if told.time is None:
        known = [text] if text else []
        return "no estimate: " + "; ".join([*told.notes, *known])
    basis = f"from {count(told.based_on, 'job')} of its kind" if told.based_on else ""
    return "; ".join(filter(None, [text, basis, *told.notes]))


def _time(told: Estimate) -> str:
    if told.time is None:
        return ""
    each = f"about {about(told.time.middle)}{_between(told.time)}"
    return each if told.jobs == 1 else f"{count(told.jobs, 'job')} of {each} each"


def _start(told: Estimate) -> str:
    if told.start is None:
        return ""
    if told.start.high < SOON_S:
        return "starts at once"
    if told.start.middle < SOON_S:
        return f"starts within {about(told.start.high)}"
    return f"starts in about {about(told.start.middle)}{_between(told.start)}"


def _done(told: Estimate) -> str:
    if told.ends_at is None:
        return ""
    what = "done" if told.jobs == 1 else "all done"
    return f"{what} at about {clock_about(told.ends_at.middle, told.now)}"


def _hours(told: Estimate) -> str:
    hours = told.gpu_hours
    if hours is None or hours.middle < _LEAST_HOURS:
        return ""
    return f"{hours.middle:.2g} GPU-hours"


def _between(told: Range) -> str:
    """` (2–5m)`; nothing where both ends are nearly the same."""
    if told.high < _NARROW * told.low or told.high < 1:
        return ""
    ends = between(told.low, told.high)
    return "" if ends == about(told.high) else f" ({ends})"


def _quietly(ask: Callable[[], Estimate | None]) -> Estimate | None:
    """An estimate is beside what a command is for: where it fails, there is none."""
    with spared():
        return ask()
    return None
