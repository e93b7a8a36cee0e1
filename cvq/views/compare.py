"""Jobs side by side: what each was given, where it ran, and what came out, a line for each word.

The words are those of the query language (`params.lr`, `metrics.val_loss`); jobs of several kinds
have those in common that are called alike.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Connection

from .. import queries
from ..goals import Goal, goal_of
from ..leaves import is_file, leaves
from ..records import Attempt, Job
from ..text import count

Scalar: TypeAlias = str | int | float | bool | None

_DEEPEST = 5  # level of a record that is looked into
_SHOWN_FILES = 4  # names of a list of files
_DIGITS = 8  # of the hash, which tells files of one name apart


@dataclass(frozen=True)
class Line:
    """One word of some jobs.

    Attributes:
        name: as a query calls it.
        values: of each job, None where it has none.
        goal: which way it is better, where the jobs agree on that.
        best: the places of the jobs with the best value; none where all are alike.
        differs: whether two jobs have not the same.
    """

    name: str
    values: Sequence[Scalar]
    goal: Goal | None
    best: frozenset[int]
    differs: bool


@dataclass(frozen=True)
class Comparison:
    """Some jobs, in the order in which they were asked for, and all that can be said of them."""

    jobs: Sequence[Job]
    lines: Sequence[Line]

    @property
    def differing(self) -> list[Line]:
        """What is not the same in all of them."""
        return [line for line in self.lines if line.differs]

    def _repr_html_(self) -> str | None:
        """A table of what differs; None, and so the usual text, where that cannot be."""
        from ..notebook.comparisons import comparison_html

        try:
            return comparison_html(self)
        except Exception:  # a notebook's cell shows what it can
            return None

    def to_json(self, lines: Sequence[Line] | None = None) -> dict[str, Any]:
        """Jobs and lines (all of them, where none are given); the best are told by their job."""
        ids = [job.id for job in self.jobs]
        return {
            "jobs": ids,
            "lines": [
                {
                    "name": line.name,
                    "values": list(line.values),
                    "goal": line.goal,
                    "best": [ids[place] for place in sorted(line.best)],
                    "differs": line.differs,
                }
                for line in (self.lines if lines is None else lines)
            ],
        }


@dataclass(frozen=True)
class _Value:
    """A value as it is shown, and what it is told apart by: a file, by its content."""

    shown: Scalar
    same: Any


def compare(connection: Connection, job_ids: Sequence[int]) -> Comparison:
    """Lay jobs side by side; it takes two statements, however many there are.

    A parameter that one kind alone has differs where it does among the jobs of that kind.

    Raises:
        UnknownJobError: there is none of an id.
    """
    jobs = queries.jobs_in_order(connection, job_ids)
    attempts = queries.last_attempts_of(connection, jobs)
    told = [dict(_values(job, attempts.get(job.id))) for job in jobs]
    names = dict.fromkeys(name for group in _grouped(told) for name in group)
    lines = [_line(name, jobs, [each.get(name) for each in told]) for name in names]
    return Comparison(jobs, [line for line in lines if _has_any(line)])


def _has_any(line: Line) -> bool:
    return any(value is not None for value in line.values)


def _grouped(told: Sequence[Mapping[str, _Value]]) -> Iterator[list[str]]:
    """The names; those of a group (`params`, say) together, the job's own first."""
    names = list(dict.fromkeys(name for each in told for name in each))
    groups = dict.fromkeys(_group(name) for name in names)
    for group in sorted(groups, key=_GROUPS.index):
        yield [name for name in names if _group(name) == group]


_GROUPS = ("", "params", "metrics", "result", "tags", "ran", "versions", "origin")


def _group(name: str) -> str:
    group = name.partition(".")[0] if "." in name else ""
    return group if group in _GROUPS else ""


def _values(job: Job, attempt: Attempt | None) -> Iterator[tuple[str, _Value]]:
    """All that can be said of a job, under the names of the query language."""
    for name, value in _own(job):
        yield name, _Value(value, value)
    for name, found in _within(job.spec):
        yield f"params.{name}", found
    for name, value in job.metrics.items():
        yield f"metrics.{name}", _Value(value, value)
    if isinstance(job.result, dict):
        for name, found in _within(job.result):
            # A metric's figure is that of the result already.
            if name not in job.metrics:
                yield f"result.{name}", found
    for name, value in job.tags.items():
        yield f"tags.{name}", _Value(str(value), value)
    for name, value in _surroundings(job, attempt):
        yield name, _Value(value, value)


def _own(job: Job) -> Iterator[tuple[str, Scalar]]:
    yield "kind", job.kind
    yield "name", job.name
    yield "state", job.state if job.reason is None else f"{job.state} ({job.reason})"
    yield "user", job.user
    yield "queue", job.queue
    yield "batch", job.batch
    yield "sweep", job.sweep
    yield "priority", job.priority
    yield "attempts", job.attempt
    yield "duration", _seconds(job)


def _seconds(job: Job) -> float | None:
    """Run time of the last attempt, where it has ended."""
    if job.started_at is None or job.finished_at is None:
        return None
    return round(max(0.0, (job.finished_at - job.started_at).total_seconds()), 3)


def _surroundings(job: Job, attempt: Attempt | None) -> Iterator[tuple[str, Scalar]]:
    if attempt is not None:
        yield "ran.device", attempt.device
        yield "ran.host", attempt.host
        yield "ran.memory", attempt.peak_memory
        for name, version in sorted((attempt.versions or {}).items()):
            yield f"versions.{name}", str(version)
    origin = job.origin or {}
    for name, found in _within(origin):
        yield f"origin.{name}", found.shown


def _within(record: Mapping[Any, Any]) -> Iterator[tuple[str, _Value]]:
    """The values within a record, nested ones as `a.b`; of lists of records, their number."""
    return ((name, _value(value)) for name, value in leaves(record, _DEEPEST))


def _value(value: Any) -> _Value:
    if is_file(value):
        return _Value(_file(value), value["sha256"] or value["name"])
    if not isinstance(value, list):
        shown = value if isinstance(value, str | int | float | bool | None) else str(value)
        return _Value(shown, shown)
    if value and all(map(is_file, value)):
        names = [_file(each) for each in value[:_SHOWN_FILES]]
        more = [f"… {len(value)} files"] if len(value) > _SHOWN_FILES else []
        return _Value(", ".join(names + more), [each["sha256"] or each["name"] for each in value])
    if any(isinstance(each, dict | list) for each in value):
        return _Value(count(len(value), "row"), value)
    return _Value(", ".join(map(str, value)) or None, value or None)


def _file(file: Mapping[str, Any]) -> str:
    return f"job {file['job']}" if file.get("job") is not None else str(file["name"])


def _line(name: str, jobs: Sequence[Job], found: Sequence[_Value | None]) -> Line:
    values: list[Scalar] = [None if each is None else each.shown for each in found]
    same = [None if each is None else each.same for each in _comparable(name, jobs, found)]
    differs = any(not _alike(each, same[0]) for each in same[1:])
    if differs and len(set(map(str, values))) < len(set(map(_key, found))):
        values = [_told_apart(each) for each in found]
    goal = _goal(name, jobs, found)
    return Line(name, values, goal, _best(values, goal) if differs else frozenset(), differs)


def _comparable(
    name: str, jobs: Sequence[Job], found: Sequence[_Value | None]
) -> list[_Value | None]:
    """The values that may differ: a parameter, among the jobs of kinds that have it."""
    if not name.startswith("params."):
        return list(found)
    kinds = {job.kind for job, each in zip(jobs, found, strict=True) if each is not None}
    return [each for job, each in zip(jobs, found, strict=True) if job.kind in kinds]


def _alike(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _key(found: _Value | None) -> str:
    return "" if found is None else json.dumps(found.same, default=str)


def _told_apart(found: _Value | None) -> Scalar:
    """A value that looks like another and is none: a file with the beginning of its hash."""
    if found is None or found.same == found.shown:
        return None if found is None else found.shown
    hashes = found.same if isinstance(found.same, list) else [found.same]
    told = ", ".join(str(each)[:_DIGITS] for each in hashes[:_SHOWN_FILES])
    return f"{found.shown} ({told})" if all(isinstance(e, str) for e in hashes) else found.shown


def _goal(name: str, jobs: Sequence[Job], found: Iterable[_Value | None]) -> Goal | None:
    """Which way a figure is better; None where jobs do not agree, or it is no figure of theirs."""
    group, _, figure = name.partition(".")
    if group not in ("metrics", "result"):
        return None
    goals = {
        goal_of(figure, job.goals)
        for job, each in zip(jobs, found, strict=True)
        if each is not None
    }
    return goals.pop() if len(goals) == 1 else None


def _best(values: Sequence[Scalar], goal: Goal | None) -> frozenset[int]:
    numbers = {place: value for place, value in enumerate(values) if _is_number(value)}
    if goal is None or len(numbers) < 2:
        return frozenset()
    choose: Callable[[Iterable[Any]], Any] = max if goal == "max" else min
    best = choose(numbers.values())
    return frozenset(place for place, value in numbers.items() if value == best)


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
