"""The curves of a job: each metric over its steps, with the figures that sum it up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection

from .. import queries
from ..records import StoredPoint, Summary

EPOCH = "epoch"  # the metric by which a job counts its epochs


@dataclass(frozen=True)
class Curve:
    """One metric of a job.

    Attributes:
        values: in the order of the steps; None where one was not finite.
        times: of each value, by the clock of its host.
        epochs: the epoch that ended at a step, where the job counts epochs.
        value: the figure that counts: of a training that is done, that of the weights it kept.
        best, best_step: None where nothing says which way the metric is better.
        known: the summary of the whole curve, where there is one.
        total: points of the whole curve, where `values` are some of them.
    """

    name: str
    steps: list[int]
    values: list[float | None]
    value: float | None
    best: float | None = None
    best_step: int | None = None
    job_id: int = 0
    epochs: Mapping[int, int] = field(default_factory=dict)
    times: Sequence[datetime] = ()
    known: Summary | None = None
    total: int | None = None

    @property
    def finite(self) -> list[float]:
        """The values that are numbers."""
        return [value for value in self.values if value is not None]

    @property
    def lowest(self) -> float | None:
        """The lowest value of the whole curve."""
        return self.known.min if self.known else min(self.finite, default=None)

    @property
    def highest(self) -> float | None:
        """The highest value of the whole curve."""
        return self.known.max if self.known else max(self.finite, default=None)

    @property
    def count(self) -> int:
        """How many points the whole curve has."""
        return len(self.values) if self.total is None else self.total


def curves_of(
    connection: Connection,
    job_id: int,
    *,
    headline: Sequence[str] = (),
    names: Sequence[str] = (),
    attempt: int | None = None,
) -> list[Curve]:
    """The curves of a job.

    Attempts that resumed one another make one curve; `attempt` asks for a single one's.

    Args:
        connection: of the database.
        job_id: the job.
        headline: the metrics that come first; the others follow by their names.
        names: only these metrics; all where not given.
        attempt: only the points of this attempt.
    """
    asked = [*names, EPOCH] if names else []
    merged = queries.merged_points(connection, job_id, names=asked, attempt=attempt)
    summaries = queries.summaries_of(connection, job_id) if attempt is None else {}
    counted = [(point.step, point.value) for point in merged.get(EPOCH, [])]
    epochs = {step: int(value) for step, value in counted if value is not None}
    found = []
    for name, points in merged.items():
        if names and name not in names:
            continue
        steps, values = [point.step for point in points], [point.value for point in points]
        times = [point.time for point in points]
        curve = Curve(name, steps, values, values[-1], job_id=job_id, epochs=epochs, times=times)
        if known := summaries.get(name):
            curve = replace(
                curve,
                value=known.value,
                best=known.best,
                best_step=known.best_step,
                known=known,
            )
        found.append(curve)
    return in_order(found, headline)


def in_order(curves: Sequence[Curve], headline: Sequence[str]) -> list[Curve]:
    """Curves by their names, those that a kind wants shown first before all others."""
    order = {name: place for place, name in enumerate(headline)}
    return sorted(curves, key=lambda curve: (order.get(curve.name, 99), curve.name))


def points_of(
    connection: Connection, job_id: int, *, names: Sequence[str] = (), attempt: int | None = None
) -> list[StoredPoint]:
    """The points of a job's curves as they were written, one after the other."""
    merged = queries.merged_points(connection, job_id, names=names, attempt=attempt)
    return sorted((row for points in merged.values() for row in points), key=lambda row: row.id)
