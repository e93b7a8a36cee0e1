"""Metrics over the steps of a job, and the columns that show them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from . import formats
from .output import Column, on_terminal

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.records import Job


_EPOCH = "epoch"  # the metric by which a job counts its epochs


@dataclass(frozen=True)
class Curve:
    """One metric of a job.

    Attributes:
        values: in the order of the steps.
        epochs: the epoch that ended at a step, where the job counts epochs.
        value: the figure that counts: of a training that is done, that of the weights it kept.
        best, best_step: None where nothing says which way the metric is better.
    """

    name: str
    steps: list[int]
    values: list[float | None]
    value: float | None
    best: float | None = None
    best_step: int | None = None
    job_id: int = 0
    epochs: Mapping[int, int] = field(default_factory=dict)

    @property
    def finite(self) -> list[float]:
        """The values that are numbers."""
        return [value for value in self.values if value is not None]


def curves_of(
    client: Client, job: Job, names: Sequence[str] = (), attempt: int | None = None
) -> list[Curve]:
    """The curves of a job, headline metrics first.

    Attempts that resumed one another make one curve; `attempt` asks for a single one's.
    """
    from cvq import queries

    from .follow import headline_names

    with client.db.read() as connection:
        asked = [*names, _EPOCH] if names else []
        merged = queries.merged_points(connection, job.id, names=asked, attempt=attempt)
        summaries = queries.summaries_of(connection, job.id) if attempt is None else {}
    counted = [(point.step, point.value) for point in merged.get(_EPOCH, [])]
    epochs = {step: int(value) for step, value in counted if value is not None}
    found = []
    for name, points in merged.items():
        if names and name not in names:
            continue
        steps, values = [point.step for point in points], [point.value for point in points]
        if known := summaries.get(name):
            found.append(Curve(name, steps, values, known.value, known.best, known.best_step))
        else:
            found.append(Curve(name, steps, values, values[-1]))
    found = [replace(curve, job_id=job.id, epochs=epochs) for curve in found]
    first = list(headline_names(client.settings, job))
    order = {name: place for place, name in enumerate(first)}
    return sorted(found, key=lambda curve: (order.get(curve.name, 99), curve.name))


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
        Column[Curve]("min", lambda curve: _extreme(min, curve), right=True, rank=4),
        Column[Curve]("max", lambda curve: _extreme(max, curve), right=True, rank=5),
        Column[Curve]("points", lambda curve: str(len(curve.values)), right=True, rank=6),
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


def _extreme(choose: Callable[[list[float]], float], curve: Curve) -> str:
    return formats.number(choose(curve.finite)) if curve.finite else "-"
