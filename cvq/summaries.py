"""Last, lowest, highest and best value of each metric, kept as they are reported; and results.

A summary is of the curve as `queries.merged_points` gives it: an attempt that resumed, or began
anew, takes back whatever earlier attempts had recorded from its first step on. What a job returns
under the name of a metric is that metric's figure from then on: a training returns those of the
epoch whose weights it keeps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    func,
    insert,
    or_,
    select,
    true,
    update,
)

from . import tables as t
from .goals import Goal, goal_of
from .ids import AttemptId
from .records import EncodedJson, Job

METRICS, RESULT = "metrics", "result"
_MOST_RESULTS = 500  # of a result with more numbers, the first so many can be asked for
_LONGEST_NAME = 200  # as the column
_KEY = (
    t.summaries.c.job_id == bindparam("key_job"),
    t.summaries.c.name == bindparam("key_name"),
    t.summaries.c.source == METRICS,
)


def add_points(connection: Connection, job: Job, points: Sequence[Mapping[str, Any]]) -> None:
    """Take the points of a report, which stand in `metrics` already, into the summaries."""
    names = list(dict.fromkeys(point["name"] for point in points))
    s = t.summaries.c
    held = {
        row.name: row
        for row in connection.execute(
            select(t.summaries).where(s.job_id == job.id, s.source == METRICS, s.name.in_(names))
        ).all()
    }
    fresh, changed = [], []
    for name in names:
        mine = [(point["value"], point["step"]) for point in points if point["name"] == name]
        before = held.get(name)
        if before is not None and before.attempt != job.attempt:
            summary = _summary_anew(connection, job.attempt_id, name, goal_of(name, job.goals))
        else:
            summary = _summary(before, mine, goal_of(name, job.goals))
        last = mine[-1][0]
        row = {"value": last, "last": last, "attempt": job.attempt, **summary}
        if before is None:
            fresh.append({"job_id": job.id, "name": name, "source": METRICS, **row})
        else:
            changed.append({"key_job": job.id, "key_name": name, **row})
    if fresh:
        connection.execute(insert(t.summaries), fresh)
    if changed:
        values: dict[str, Any] = {
            name: bindparam(name) for name in changed[0] if not name.startswith("key_")
        }
        connection.execute(update(t.summaries).where(*_KEY).values(values), changed)


def _summary(before: Any, points: Sequence[tuple[float | None, int]], goal: str | None) -> Any:
    """Lowest, highest and best of what was known and some more points."""
    finite = [(value, step) for value, step in points if value is not None]
    known = [] if before is None or before.min is None else [(before.min, None)]
    low = min([*known, *finite], key=lambda point: point[0], default=(None, None))
    known = [] if before is None or before.max is None else [(before.max, None)]
    high = max([*known, *finite], key=lambda point: point[0], default=(None, None))
    best = {"min": low, "max": high}.get(goal or "", (None, None))
    step = before.best_step if best[1] is None and before is not None else best[1]
    return {
        "min": low[0],
        "max": high[0],
        "best": best[0],
        "best_step": None if best[0] is None else step,
    }


def _summary_anew(connection: Connection, attempt: AttemptId, name: str, goal: str | None) -> Any:
    """The same of the whole curve, where an attempt has taken back a part of it."""
    kept = and_(_on_curve(connection, attempt, name), t.metrics.c.value.is_not(None))
    value = t.metrics.c.value

    def first(order: ColumnElement[Any]) -> tuple[float | None, int | None]:
        row = connection.execute(
            select(value, t.metrics.c.step).where(kept).order_by(order, t.metrics.c.id).limit(1)
        ).one_or_none()
        return (None, None) if row is None else (row.value, row.step)

    low, high = first(value.asc()), first(value.desc())
    best = {"min": low, "max": high}.get(goal or "", (None, None))
    return {"min": low[0], "max": high[0], "best": best[0], "best_step": best[1]}


def _on_curve(connection: Connection, attempt: AttemptId, name: str) -> ColumnElement[bool]:
    """The points that no later attempt has taken back."""
    m = t.metrics.c
    own = and_(m.job_id == attempt.job_id, m.name == name)
    firsts = connection.execute(
        select(m.attempt, func.min(m.step).label("first")).where(own).group_by(m.attempt)
    ).all()
    parts, begun = [], math.inf
    for row in sorted(firsts, key=lambda row: -row.attempt):
        kept = true() if begun == math.inf else m.step < int(begun)
        parts.append(and_(m.attempt == row.attempt, kept))
        begun = min(begun, row.first)
    return and_(own, or_(*parts))


class Measured(Protocol):
    """What is needed of a job whose result has come."""

    @property
    def id(self) -> int: ...  # noqa: D102
    @property
    def attempt(self) -> int: ...  # noqa: D102
    @property
    def metrics(self) -> dict[str, float | None]: ...  # noqa: D102
    @property
    def goals(self) -> dict[str, Goal] | None: ...  # noqa: D102


def add_result(connection: Connection, job: Job, numbers: Mapping[str, float]) -> dict[str, float]:
    """Take the numbers of a job's result into the summaries; return those of metrics."""
    return add_results(connection, [(job, numbers)])[job.id]


def add_results(
    connection: Connection, results: Sequence[tuple[Measured, Mapping[str, float]]]
) -> dict[int, dict[str, float]]:
    """Take the numbers of jobs' results into the summaries; return those of metrics, by job."""
    kept = {
        job.id: {name: value for name, value in numbers.items() if name in job.metrics}
        for job, numbers in results
    }
    rows = [
        _of_result(job, name, value, is_metric=name in kept[job.id])
        for job, numbers in results
        for name, value in numbers.items()
    ]
    if rows:
        connection.execute(insert(t.summaries), rows)
    changed = [
        {"key_job": job_id, "key_name": name, "value": value}
        for job_id, metrics in kept.items()
        for name, value in metrics.items()
    ]
    if changed:
        connection.execute(
            update(t.summaries).where(*_KEY).values(value=bindparam("value")), changed
        )
    return kept


def _of_result(job: Measured, name: str, value: float, *, is_metric: bool) -> dict[str, Any]:
    whole = None if is_metric else value  # a metric has these of its whole curve
    return {
        "job_id": job.id, "name": name, "source": RESULT, "attempt": job.attempt,
        "value": value, "last": whole, "min": whole, "max": whole,
        "best": None if goal_of(name, job.goals) is None else whole,
    }  # fmt: skip


def numbers_of(result: Any) -> dict[str, float]:
    """The numbers of a result that can be asked for, by name; no more than 500.

    Args:
        result: as the job returned it, or as JSON; an `EncodedJson` has brought its own.
    """
    if isinstance(result, EncodedJson):
        return dict(result.numbers)
    return dict(islice(_numbers(result), _MOST_RESULTS)) if isinstance(result, dict) else {}


def _numbers(record: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a result, those of a record within it as `record.number`; yes is 1."""
    for key, value in record.items():
        # Another key than text is called what it is called in JSON.
        name = f"{prefix}{key if isinstance(key, str) else json.dumps(key)}"
        if isinstance(value, dict):
            yield from _numbers(value, f"{name}.")
        elif isinstance(value, int | float) and len(name) <= _LONGEST_NAME:
            try:
                number = float(value)
            except OverflowError:  # an integer that no float holds
                continue
            if math.isfinite(number):
                yield name, number
