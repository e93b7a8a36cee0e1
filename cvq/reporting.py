"""Metrics and progress from any program that runs in a `command` job.

    import cvq

    cvq.log_metric(step=3, loss=0.1)
    cvq.log_progress(3, 100)

Each report is a line of JSON, `{"cvq": {"step": 3, "loss": 0.1}}`, for the pipe that `CVQ_REPORTS`
names: a program in another language writes it there by itself, or to its standard output.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import sys
from typing import Any

from .errors import SetupError, UsageError

REPORTS = "CVQ_REPORTS"  # the variable that names the pipe
ATTEMPT, CHECKPOINT_DIR, SEED = "CVQ_ATTEMPT", "CVQ_CHECKPOINT_DIR", "CVQ_SEED"
# All that a program of a job is told of it.
VARIABLES = frozenset({REPORTS, ATTEMPT, CHECKPOINT_DIR, SEED})
KEY = "cvq"  # under which a line has its report, and nothing beside it
RESERVED = frozenset({"step", "progress"})
# So much can be written at once without its being mixed with another process's.
_LONGEST = min(4096, select.PIPE_BUF)

_told: set[str] = set()


def log_metric(step: int | None = None, **values: Any) -> None:
    """Record named numbers at a step, from any process of a `command` job.

    Outside of a job nothing is kept, which is said once on stderr: a script runs anywhere.

    Args:
        step: a whole number; where it is left out, the next of these metrics.
        values: numbers, or what becomes one, such as a tensor with one value.

    Raises:
        UsageError: something is no number, or has no name that a metric could have.
    """
    _say_or_tell(metric_reports(step, values))


def log_progress(done: int, total: int, unit: str = "step") -> None:
    """Say that `done` of `total` units are done, from any process of a `command` job."""
    said = {"done": int(done), "total": int(total), "unit": str(unit)}
    _say_or_tell([{"progress": said}])


def metric_reports(step: int | None, values: dict[str, Any]) -> list[dict[str, Any]]:
    """The reports of some metrics, each of which fits into a line.

    Raises:
        UsageError: something is no number, or has no name that a metric could have.
    """
    if step is not None and int(step) != step:
        raise UsageError(f"step {step} is not a whole number")
    first: dict[str, Any] = {} if step is None else {"step": int(step)}
    reports = [dict(first)]
    for name, value in values.items():
        number = _number(name, value)
        if len(_line({**reports[-1], name: number})) > _LONGEST and len(reports[-1]) > len(first):
            reports.append(dict(first))
        reports[-1][name] = number
    return [report for report in reports if len(report) > len(first)]


def say(reports: list[dict[str, Any]]) -> None:
    """Hand reports to the job that this process belongs to.

    Raises:
        SetupError: it belongs to none, or the job has ended.
        UsageError: a report is too long.
    """
    path = os.environ.get(REPORTS)
    if not path:
        raise SetupError(
            "this is no program of a `command` job, so that nobody keeps its metrics: "
            "`cvq submit command -- PROGRAM` makes it one"
        )
    try:
        # Without a reader this would wait for ever.
        pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        ended = error.errno in (errno.ENXIO, errno.ENOENT)
        why = "the job has ended" if ended else error.strerror
        raise SetupError(f"nobody takes the report: {why}") from None
    try:
        os.set_blocking(pipe, True)
        for report in reports:
            line = _line(report)
            if len(line) > _LONGEST:
                raise UsageError(f"a report of {len(line)} bytes: at most {_LONGEST} are taken")
            os.write(pipe, line)
    except BrokenPipeError:
        raise SetupError("nobody takes the report: the job has ended") from None
    finally:
        os.close(pipe)


def _say_or_tell(reports: list[dict[str, Any]]) -> None:
    try:
        say(reports)
    except SetupError as error:
        if str(error) not in _told:
            _told.add(str(error))
            with contextlib.suppress(OSError, AttributeError):
                print(f"cvq: warning: {error}", file=sys.stderr)


def _number(name: str, value: Any) -> float:
    if name in RESERVED or not name.strip():
        raise UsageError(f"'{name}' is not a name for a metric")
    try:
        return float(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, ArithmeticError, RuntimeError):
        raise UsageError(f"metric {name} is {str(value)[:40]!r}, which is no number") from None


def _line(report: dict[str, Any]) -> bytes:
    return json.dumps({KEY: report}).encode() + b"\n"
