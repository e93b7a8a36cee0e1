"""Figures of the history: counts, waiting and run times, success and GPU-hours, by what is asked.

One pass over the jobs that are meant, and one over the attempts that ran on GPUs.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, func, select

from .. import tables as t
from ..column_types import minute_of, seconds_between
from ..errors import UsageError
from ..states import FINAL, State
from ..text import did_you_mean, nearest
from . import filters
from .filters import Filter

OF_JOBS = ("kind", "user", "day", "state", "reason", "queue")
OF_ATTEMPTS = ("worker", "host", "device")
BY = (*OF_JOBS, *OF_ATTEMPTS)
_AT_ONCE = 10_000  # rows between two words of how far it is
_SHARES = (0.5, 0.9, 0.99)


class Times(NamedTuple):
    """How long some jobs took, in seconds: quantiles."""

    p50: float
    p90: float
    p99: float


@dataclass(frozen=True)
class Figures:
    """What there is to say of some jobs.

    Attributes:
        key: what they have in common, in the order that was asked for; empty of the total.
        states: how many are in each state that has any.
        wait: how long those that have started were queued before (the last time, of one that was
            tried again).
        run: how long those that have succeeded ran (the attempt that succeeded).
        gpu_hours: of all their attempts on GPUs, also those that failed or still run.
    """

    key: tuple[str, ...]
    states: Mapping[str, int]
    wait: Times | None
    run: Times | None
    gpu_hours: float

    def figure(self, name: str) -> float | None:
        """One of `FIGURES`; None where there is none."""
        if name in list(State):
            return self.states.get(name, 0)
        what, _, share = name.partition("_p")
        if share:
            times: Times | None = getattr(self, what)
            return None if times is None else float(getattr(times, f"p{share}"))
        value: float | None = getattr(self, name)
        return value

    @property
    def jobs(self) -> int:
        """How many they are."""
        return sum(self.states.values())

    @property
    def unfinished(self) -> int:
        """How many have not ended."""
        return sum(number for state, number in self.states.items() if state not in FINAL)

    @property
    def success(self) -> float | None:
        """The share that succeeded of those that succeeded or failed (0 to 1)."""
        good, bad = (self.states.get(state, 0) for state in (State.SUCCEEDED, State.FAILED))
        return good / (good + bad) if good + bad else None


@dataclass(frozen=True)
class Stats:
    """Figures by some columns.

    Attributes:
        by: the columns.
        rows: the figures of each combination that there is.
        total: of all.
    """

    by: tuple[str, ...]
    rows: Sequence[Figures]
    total: Figures


FIGURES = (
    "jobs", *map(str, State), "unfinished", "success", "wait_p50", "wait_p90", "wait_p99",
    "run_p50", "run_p90", "run_p99", "gpu_hours",
)  # fmt: skip
"""What rows can be sorted by, besides the columns."""


def stats(
    connection: Connection,
    wanted: Filter,
    by: Sequence[str] = ("kind",),
    *,
    sort: str | None = None,
    on_rows: Callable[[int], None] | None = None,
) -> Stats:
    """The figures of the jobs that a filter means.

    Args:
        connection: reads only.
        wanted: which jobs; its order and limit are not asked.
        by: columns, of `BY`; a day is that of the submission, in the reader's zone, and worker,
            host and device are those of the last attempt (of GPU-hours, of each).
        sort: a column or one of `FIGURES`; with `-` before it, the highest first. By default the
            most jobs first, but days in order.
        on_rows: told how many jobs were looked at, now and then; what it raises ends it all.

    Raises:
        UsageError: a column is not known, or what is asked of a name cannot be.
    """
    columns = tuple(dict.fromkeys(by))
    for name in columns:
        _check(name, BY, "group by")
    key = (sort or "").removeprefix("-")
    if sort is not None:
        _check(key, (*columns, *FIGURES), "sort by")
    groups = _read(connection, wanted, columns, on_rows)
    for group, hours in _gpu_hours(connection, wanted, columns).items():
        groups.setdefault(group, _Group()).gpu_hours = hours
    total = _Group()
    for each in groups.values():
        total.add(each)
    rows = [group.figures(key) for key, group in groups.items()]
    return Stats(columns, _sorted(rows, columns, sort), total.figures(()))


@dataclass
class _Group:
    """What is gathered of one group."""

    states: dict[str, int] = field(default_factory=dict)
    waits: array[float] = field(default_factory=lambda: array("d"))
    runs: array[float] = field(default_factory=lambda: array("d"))
    gpu_hours: float = 0.0

    def add(self, other: _Group) -> None:
        for state, number in other.states.items():
            self.states[state] = self.states.get(state, 0) + number
        self.waits.extend(other.waits)
        self.runs.extend(other.runs)
        self.gpu_hours += other.gpu_hours

    def figures(self, key: tuple[str, ...]) -> Figures:
        return Figures(key, self.states, _times(self.waits), _times(self.runs), self.gpu_hours)


def _read(
    connection: Connection,
    wanted: Filter,
    by: Sequence[str],
    on_rows: Callable[[int], None] | None,
) -> dict[tuple[str, ...], _Group]:
    jobs, a = t.jobs.c, t.attempts.c
    query = select(*_columns(by), jobs.state, t.wait, t.duration).select_from(t.jobs)
    if set(by).intersection(OF_ATTEMPTS):
        last = and_(a.job_id == jobs.id, a.number == jobs.attempt)
        query = query.outerjoin(t.attempts, last)
    query = query.where(*filters.conditions(connection, wanted))
    cells: dict[tuple[Any, ...], _Cell] = {}
    looked_at = 0
    found = connection.execution_options(stream_results=True, max_row_buffer=_AT_ONCE)
    for rows in found.execute(query).partitions(_AT_ONCE):
        for row in rows:  # of which there may be a million: it does no more than it must
            cell = cells.get(key := row[:-2])
            if cell is None:
                cell = cells[key] = _Cell()
            cell.jobs += 1
            wait, run = row[-2:]
            if wait is not None:
                cell.waits.append(wait)
            if run is not None:
                cell.runs.append(run)
        looked_at += len(rows)
        if on_rows is not None:
            on_rows(looked_at)
    return _merged(cells, by)


class _Cell:
    """The jobs of a group that are in one state."""

    __slots__ = ("jobs", "runs", "waits")

    def __init__(self) -> None:
        self.jobs = 0
        self.waits = array("d")
        self.runs = array("d")


def _merged(
    cells: Mapping[tuple[Any, ...], _Cell], by: Sequence[str]
) -> dict[tuple[str, ...], _Group]:
    """Groups of all states, by what people read: minutes as the days that they are in."""
    merged: dict[tuple[str, ...], _Group] = {}
    for (*key, state), cell in cells.items():
        group = merged.setdefault(_named(key, by), _Group())
        group.states[state] = group.states.get(state, 0) + cell.jobs
        group.waits.extend(cell.waits)
        if state == State.SUCCEEDED:
            group.runs.extend(cell.runs)
    return merged


def _gpu_hours(
    connection: Connection, wanted: Filter, by: Sequence[str]
) -> dict[tuple[str, ...], float]:
    jobs, a = t.jobs.c, t.attempts.c
    seconds = func.sum(seconds_between(a.started_at, func.coalesce(a.finished_at, t.now())))
    columns = _columns(by)
    query = (
        select(*columns, seconds)
        .select_from(t.attempts)
        .join(t.jobs, jobs.id == a.job_id)
        .where(a.device != "cpu", *filters.conditions(connection, wanted))
        .group_by(*columns)
    )
    found: dict[tuple[str, ...], float] = {}
    for *key, total in connection.execute(query).all():
        named = _named(key, by)
        found[named] = found.get(named, 0.0) + float(total or 0) / 3600
    return found


def _columns(by: Sequence[str]) -> list[ColumnElement[Any]]:
    return [
        t.attempts.c[name]
        if name in OF_ATTEMPTS
        else minute_of(t.jobs.c.created_at)
        if name == "day"
        else t.jobs.c[name]
        for name in by
    ]


def _named(key: Sequence[Any], by: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        "" if value is None else _day(value) if name == "day" else str(value)
        for name, value in zip(by, key, strict=True)
    )


@lru_cache(1 << 16)
def _day(minute: str) -> str:
    """The day in the reader's zone of a minute in UTC."""
    try:
        time = datetime.fromisoformat(minute).replace(tzinfo=UTC)
    except ValueError:  # as a hand has written it
        return ""
    return time.astimezone().date().isoformat()


def _times(seconds: array[float]) -> Times | None:
    if not seconds:
        return None
    ranked = sorted(seconds)
    ranked = ranked if ranked[0] >= 0 else [max(0.0, each) for each in ranked]  # a clock set back
    return Times(*(ranked[max(0, math.ceil(share * len(ranked)) - 1)] for share in _SHARES))


def _sorted(rows: list[Figures], by: Sequence[str], sort: str | None) -> list[Figures]:
    rows.sort(key=lambda row: row.key)
    if sort is None:
        if "day" not in by:
            rows.sort(key=lambda row: -row.jobs)
        return rows
    name, falls = sort.removeprefix("-"), sort.startswith("-")

    def value(row: Figures) -> Any:
        return row.key[by.index(name)] if name in by else row.figure(name)

    known = [row for row in rows if value(row) is not None]
    known.sort(key=value, reverse=falls)
    return known + [row for row in rows if value(row) is None]


def _check(name: str, known: Sequence[str], what: str) -> None:
    if name not in known:
        near = did_you_mean(nearest(name, known))
        more = f"; {near}" if near else ""
        raise UsageError(f"'{name}' is nothing to {what}: give {', '.join(known)}{more}")
