"""The curves of jobs on axes of one's choice: what `cvq metrics` draws."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from cvq.errors import UsageError
from cvq.text import duration
from cvq.thinning import Point, smoothed

from . import formats
from .output import is_dumb, note, writes_utf8
from .plot import Axis, Series, plot
from .widths import terminal_height, terminal_width

if TYPE_CHECKING:
    from cvq.records import Job
    from cvq.views.curves import Curve

_LEAST_LINES, _MOST_LINES = 6, 24
_AROUND = 5  # lines that a plot takes besides its curves and legend


class Over(StrEnum):
    """What lies on the horizontal axis."""

    STEP = "step"
    EPOCH = "epoch"
    TIME = "time"


@dataclass(frozen=True)
class Look:
    """How curves are drawn.

    Attributes:
        over: what lies on the horizontal axis.
        log_x, log_y: axes by their logarithm.
        smooth: weight of what came before, 0 to below 1.
    """

    over: Over = Over.STEP
    log_x: bool = False
    log_y: bool = False
    smooth: float = 0.0


def draw(
    curves: Sequence[Curve],
    jobs: Mapping[int, Job],
    begun: Mapping[int, datetime],
    look: Look,
    *,
    beside: int = 0,
) -> list[str]:
    """Draw some curves together, as lines.

    Args:
        curves: to be drawn.
        jobs: those that they are of, by their ids.
        begun: when each began.
        look: how they are drawn.
        beside: lines of the terminal that are to be left for something else.

    Raises:
        UsageError: there are epochs to be drawn over, and a job counts none.
    """
    series = [
        Series(_name(curve, curves, jobs), _points(curve, look, begun.get(curve.job_id)))
        for curve in curves
    ]
    for line in _missing(series, look):
        note(line)
    legend = len(series) if len(series) > 1 else 0
    height = terminal_height() - _AROUND - legend - beside
    return plot(
        series,
        _horizontal(look),
        Axis("", log=look.log_y),
        width=terminal_width() - 1,
        height=max(_LEAST_LINES, min(_MOST_LINES, height)),
        unicode=writes_utf8() and not is_dumb(),
    )


def _horizontal(look: Look) -> Axis:
    if look.over is Over.TIME:
        return Axis("time", look.log_x, text=duration)
    return Axis(look.over, look.log_x, text=_whole, whole=True)


def _whole(value: float) -> str:
    return str(round(value)) if value < 1e7 else f"{value:.2g}"


def _name(curve: Curve, curves: Sequence[Curve], jobs: Mapping[int, Job]) -> str:
    """What the legend calls a curve: by what tells it from the others."""
    parts = []
    if len({each.job_id for each in curves}) > 1:
        title = formats.cut(formats.title(jobs[curve.job_id]), 40)
        parts.append(f"job {curve.job_id} {title}".rstrip())
    if len({each.name for each in curves}) > 1:
        parts.append(curve.name)
    return "  ".join(parts)


def _points(curve: Curve, look: Look, begun: datetime | None) -> list[Point]:
    points = sorted(zip(_places(curve, look.over, begun), curve.values, strict=True),
                    key=lambda point: point[0])  # fmt: skip
    return smoothed(points, look.smooth) if look.smooth else points


def _places(curve: Curve, over: Over, begun: datetime | None) -> Sequence[float]:
    if over is Over.TIME:
        first = begun or curve.times[0]
        return [max(0.0, (time - first).total_seconds()) for time in curve.times]
    if over is Over.EPOCH:
        return _epochs(curve)
    return curve.steps


def _epochs(curve: Curve) -> list[float]:
    """The epoch of each step; within one, in parts."""
    if not curve.epochs:
        raise UsageError(f"job {curve.job_id} counts no epochs: --x step or --x time")
    known = [(0, 0.0), *((step, float(epoch)) for step, epoch in sorted(curve.epochs.items()))]
    return [_between(known, step) for step in curve.steps]


def _between(known: Sequence[tuple[int, float]], step: int) -> float:
    place = min(bisect.bisect_left(known, (step, 0.0)), len(known) - 1)
    if place == 0 or known[place][0] == step:
        return known[place][1]
    (first, low), (last, high) = known[place - 1], known[place]
    return low + (high - low) * (step - first) / (last - first)


def _missing(series: Sequence[Series], look: Look) -> list[str]:
    """What an axis by logarithms does not show, in words."""
    told = []
    points = [point for each in series for point in each.points]
    for asked, name, values in (
        (look.log_x, "--log-x", [place for place, _ in points]),
        (look.log_y, "--log-y", [value for _, value in points if value is not None]),
    ):
        hidden = sum(value <= 0 for value in values) if asked else 0
        if hidden:
            told.append(f"{name} leaves out {formats.count(hidden, 'point')} at 0 or below")
    return told
