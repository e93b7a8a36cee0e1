"""The columns that show the curves of jobs."""

from __future__ import annotations

from collections.abc import Sequence

from cvq.views.curves import Curve

from . import formats
from .output import Column, on_terminal


def columns(overlaid: Sequence[Curve] = ()) -> list[Column[Curve]]:
    """A line for each metric; the curve itself on a terminal only.

    Curves of several jobs are given as `overlaid`: those of a metric share their scales.
    """
    several = len({curve.job_id for curve in overlaid}) > 1

    def line(curve: Curve) -> str:
        if not several:
            return formats.sparkline(curve.values)
        return overlay(curve, [each for each in overlaid if each.name == curve.name])

    shown = [
        Column[Curve]("name", lambda curve: curve.name, least=10, after=1),
        Column[Curve]("value", lambda curve: formats.number(curve.value), right=True),
        Column[Curve]("best", _best, right=True, rank=1),
        Column[Curve]("last", lambda curve: formats.number(curve.values[-1]), right=True, rank=3),
        Column[Curve]("min", lambda curve: formats.number(curve.lowest), right=True, rank=4),
        Column[Curve]("max", lambda curve: formats.number(curve.highest), right=True, rank=5),
        Column[Curve]("points", lambda curve: str(curve.count), right=True, rank=6),
    ]
    if on_terminal():
        shown.append(
            Column(
                "curve",
                line,
                style=lambda _: "cyan",
                rank=2,
                least=10,
                short=lambda curve, width: formats.thinned(curve, width),
            )
        )
    if several:
        shown.insert(1, Column("job", lambda curve: str(curve.job_id), right=True))
    return shown


def overlay(curve: Curve, others: Sequence[Curve], width: int = 40) -> str:
    """A curve in one line, over the steps and between the values of all the others, too."""
    values = [value for each in others for value in each.finite]
    first = min(each.steps[0] for each in others)
    last = max(each.steps[-1] for each in others)
    if not values:
        return ""
    cells: list[float | None] = []
    for place in range(width):
        begin = first + (last - first) * place / width
        end = first + (last - first) * (place + 1) / width
        inside = [v for s, v in zip(curve.steps, curve.values, strict=True) if begin <= s <= end]
        gone = end < curve.steps[0] or begin > curve.steps[-1]
        cells.append(inside[-1] if inside else None if gone or not cells else cells[-1])
    return formats.sparkline(cells, width, (min(values), max(values)))


def _best(curve: Curve) -> str:
    if curve.best is None:
        return ""
    step = curve.best_step
    epoch = None if step is None else curve.epochs.get(step)
    at = f" @{epoch}" if epoch is not None else "" if step is None else f" @step {step}"
    return formats.number(curve.best) + at
