"""An estimate as a plain value: how long jobs take, when they start and end, what they cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

LOW, MIDDLE, HIGH = 0.1, 0.5, 0.9  # the quantiles that are told: four of five lie between
_LONGEST_S = 1e9  # some thirty years; what is longer is none of ours to tell


class Range(NamedTuple):
    """A quantity that is not known yet: its median, and between which two four of five lie."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Range:
        """The quantiles of some values that were drawn; at least one."""
        ranked = sorted(values)
        return cls(*(_quantile(ranked, share) for share in (LOW, MIDDLE, HIGH)))


class TimeRange(NamedTuple):
    """The same of a moment."""

    low: datetime
    middle: datetime
    high: datetime


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """How long jobs will take, when they will start and end, and their GPU-hours.

    Of a quantity that cannot be told, `None`; `notes` say why.

    Attributes:
        kind: of the jobs.
        jobs: how many they are.
        now: the moment of the database's clock, from which `start` and `end` count.
        time: seconds that one of the jobs runs.
        start: seconds until the first starts; None of a job that runs.
        end: seconds until the last has ended.
        gpu_hours: of all the jobs together; 0 where none may run on a GPU.
        based_on: how many past jobs tell it.
        notes: what is to be known of it, in sentences without a full stop.
    """

    kind: str
    jobs: int
    now: datetime
    time: Range | None = None
    start: Range | None = None
    end: Range | None = None
    gpu_hours: Range | None = None
    based_on: int = 0
    notes: tuple[str, ...] = ()

    @property
    def starts_at(self) -> TimeRange | None:
        """When the first starts."""
        return None if self.start is None else _moments(self.now, self.start)

    @property
    def ends_at(self) -> TimeRange | None:
        """When the last has ended."""
        return None if self.end is None else _moments(self.now, self.end)

    def to_json(self) -> dict[str, Any]:
        """The documented shape: quantiles as `p10`, `p50`, `p90`; times in UTC."""
        return {
            "kind": self.kind,
            "jobs": self.jobs,
            "seconds": _json(self.time),
            "start_in_s": _json(self.start),
            "end_in_s": _json(self.end),
            "starts_at": _json(self.starts_at),
            "ends_at": _json(self.ends_at),
            "gpu_hours": _json(self.gpu_hours),
            "based_on": self.based_on,
            "notes": list(self.notes),
        }


def _moments(now: datetime, seconds: Range) -> TimeRange:
    return TimeRange(*(now + timedelta(seconds=min(s, _LONGEST_S)) for s in seconds))


def _json(value: Range | TimeRange | None) -> dict[str, Any] | None:
    if value is None:
        return None
    told = [
        each.isoformat() if isinstance(each, datetime) else float(f"{each:.4g}") for each in value
    ]
    return dict(zip(("p10", "p50", "p90"), told, strict=True))


def _quantile(ranked: Sequence[float], share: float) -> float:
    """A quantile, between the two values that are next to it."""
    place = share * (len(ranked) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ranked) - 1)
    return ranked[below] + (place - below) * (ranked[above] - ranked[below])
