"""The life of a job as a few lines: when it came, how long it waited, each attempt, its end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..records import Attempt, Event, Job
from ..states import State

_WORTH_TELLING_S = 0.1  # of waiting


@dataclass(frozen=True)
class Moment:
    """Something in a job's life.

    Attributes:
        time: when it began.
        what: in words.
        by: who did it, or where.
        seconds: how long it lasted, or has lasted so far; None of what takes no time.
        goes_on: it has not ended.
    """

    time: datetime
    what: str
    by: str = ""
    seconds: float | None = None
    goes_on: bool = False

    def to_json(self) -> dict[str, Any]:
        """The documented shape."""
        from .shapes import iso

        return {
            "time": iso(self.time),
            "what": self.what,
            "by": self.by,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "goes_on": self.goes_on,
        }


def timeline(
    job: Job, attempts: Sequence[Attempt], events: Iterable[Event], now: datetime
) -> list[Moment]:
    """The moments of a job's life in their order.

    Waiting is what lies between the submission, or the end of an attempt, and the next attempt.
    Attempts tell of themselves; of other events there is one for each that changed something.

    Args:
        job, attempts, events: as the database has them.
        now: its clock.
    """
    moments = [Moment(job.created_at, "submitted", job.user)]
    moments += [Moment(event.time, event.what, event.by) for event in events if _tells(event)]
    moments += [_tried(attempt, now) for attempt in attempts]
    moments += _waits(job, attempts, now)
    return sorted(moments, key=lambda moment: moment.time)


def _tells(event: Event) -> bool:
    """Whether an event says what neither the job nor an attempt does of itself."""
    return event.what != "submitted" and not event.what.startswith("attempt ")


def _tried(attempt: Attempt, now: datetime) -> Moment:
    outcome = attempt.outcome or str(State.RUNNING)
    reason = f" ({attempt.reason})" if attempt.reason else ""
    return Moment(
        attempt.started_at,
        f"attempt {attempt.number} {outcome}{reason}",
        attempt.worker,
        attempt.seconds(now),
        goes_on=attempt.finished_at is None and attempt.outcome is None,
    )


def _waits(job: Job, attempts: Sequence[Attempt], now: datetime) -> list[Moment]:
    """What it waited before each attempt, and since the last one."""
    found = []
    since: datetime | None = job.created_at
    for attempt in attempts:
        if since is not None:
            found.append(_wait(since, attempt.started_at))
        since = attempt.finished_at
    if since is not None and not job.finished and job.state != State.RUNNING:
        found.append(_wait(since, now, goes_on=True))
    elif since is not None and not attempts and job.finished_at is not None:
        found.append(_wait(since, job.finished_at))
    return [wait for wait in found if wait.goes_on or (wait.seconds or 0) >= _WORTH_TELLING_S]


def _wait(since: datetime, until: datetime, *, goes_on: bool = False) -> Moment:
    seconds = max(0.0, (until - since).total_seconds())
    return Moment(since, "waits" if goes_on else "waited", seconds=seconds, goes_on=goes_on)
