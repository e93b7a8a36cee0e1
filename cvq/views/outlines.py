"""The outlines of a job's curves: some points of each, however many it has.

The figures of a curve (its lowest, highest and best value) stand in its summary. How many points
it has is counted in an index; the points that are looked at are as many for a thousand steps as
for a million.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, Integer, String, func, select

from .. import queries
from .. import tables as t
from ..given import Given
from .curves import EPOCH, Curve, curves_of, in_order

_POINTS = 64  # of a curve


class _Part(NamedTuple):
    """The steps of a metric that are one attempt's: no later one has taken them back."""

    name: str
    attempt: int
    first: int
    last: int
    points: int


def outlines_of(
    connection: Connection, job_id: int, *, headline: Sequence[str] = ()
) -> list[Curve]:
    """The curves of a job as `curves_of` gives them, with some of their points.

    Args:
        connection: of the database.
        job_id: the job.
        headline: the metrics that come first; the others follow by their names.
    """
    wrote = queries.writer_of(connection, job_id)
    parts = _parts(connection, wrote)
    if parts is None:
        return curves_of(connection, job_id, headline=headline)
    summaries = queries.summaries_of(connection, job_id)
    points = _points(connection, wrote, parts)
    best = {known.best_step for known in summaries.values() if known.best_step is not None}
    epochs = _epochs(connection, wrote, best)
    found = []
    for name, seen in points.items():
        known = summaries.get(name)
        found.append(
            Curve(
                name,
                [step for step, _ in seen],
                [value for _, value in seen],
                known.value if known else seen[-1][1],
                best=known.best if known else None,
                best_step=known.best_step if known else None,
                job_id=job_id,
                epochs=epochs,
                known=known,
                total=sum(part.points for part in parts if part.name == name),
            )
        )
    return in_order(found, headline)


def _parts(connection: Connection, job_id: int) -> list[_Part] | None:
    """Which steps of each metric are whose, in their order; None where a row is damaged."""
    m = t.metrics.c
    rows = connection.execute(
        select(m.name, m.attempt, func.min(m.step), func.max(m.step), func.count())
        .where(m.job_id == job_id)
        .group_by(m.name, m.attempt)
        .order_by(m.name, m.attempt.desc())
    ).all()
    if not all(isinstance(row[0], str) and _are_steps(row[2], row[3]) for row in rows):
        return None
    found: list[_Part] = []
    begun: dict[str, int] = {}
    for name, attempt, first, last, count in rows:
        end = begun.get(name)
        if end is None or last < end:
            found.append(_Part(name, attempt, first, last, count))
        elif first < end:
            kept = (m.job_id == job_id, m.name == name, m.attempt == attempt, m.step < end)
            row = connection.execute(select(func.max(m.step), func.count()).where(*kept)).one()
            found.append(_Part(name, attempt, first, *row))
        begun[name] = first if end is None else min(end, first)
    return sorted(found)


def _points(
    connection: Connection, job_id: int, parts: Sequence[_Part]
) -> dict[str, list[tuple[int, float | None]]]:
    """Points at even steps of each metric, its first and last among them."""
    asked = [
        {"name": part.name, "attempt": part.attempt, "step": step, "last": part.last}
        for part in parts
        for step in _even(part, [each for each in parts if each.name == part.name])
    ]
    if not asked:
        return {}
    given, m = Given(connection, asked), t.metrics.c
    # The next point at or after a step: a look into the index.
    each = t.metrics.alias().c
    next_one = (
        select(each.id)
        .where(
            each.job_id == job_id,
            each.name == given.cell("name", String()),
            each.attempt == given.cell("attempt", Integer()),
            each.step >= given.cell("step", BigInteger()),
            each.step <= given.cell("last", BigInteger()),
        )
        .order_by(each.step, each.id)
        .limit(1)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(m.name, m.step, m.value)
        .where(m.id.in_(select(next_one).select_from(given.table)))
        .order_by(m.name, m.step, m.id)
    ).all()
    found: dict[str, list[tuple[int, float | None]]] = {}
    for name, step, value in rows:
        found.setdefault(name, []).append((step, value if _is_figure(value) else None))
    return found


def _even(part: _Part, of_metric: Sequence[_Part]) -> list[int]:
    """Steps of a part: as many as its share of all the metric's."""
    whole = sum(each.last - each.first + 1 for each in of_metric)
    length = part.last - part.first
    number = max(2, min(_POINTS * (length + 1) // whole, length + 1))
    return sorted({part.first + length * place // (number - 1) for place in range(number)})


def _epochs(connection: Connection, job_id: int, steps: Collection[int]) -> dict[int, int]:
    """The epochs that ended at some steps."""
    m = t.metrics.c
    rows = connection.execute(
        select(m.step, m.value)
        .where(m.job_id == job_id, m.name == EPOCH, m.step.in_(steps))
        .order_by(m.attempt)
    ).all()
    return {step: int(value) for step, value in rows if _is_figure(value)}


def _are_steps(*values: Any) -> bool:
    return all(isinstance(value, int) for value in values)


def _is_figure(value: Any) -> bool:
    """Whether it is a number: in SQLite, a hand may have put in anything."""
    return isinstance(value, int | float)
