"""Which trial of a sweep is best. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..goals import Goal
from ..states import State
from ..sweep import Trial

_COUNT = (State.SUCCEEDED, State.RUNNING, State.QUEUED, State.WAITING)


def ranked(trials: Sequence[Trial], goal: Goal | None) -> list[Trial]:
    """Trials, the best first.

    Those that were pruned, have failed or were cancelled come behind those that may still win;
    those without a finite metric come last, in the order of their numbers. Of equal ones, the
    earlier is first.
    """
    sign = -1.0 if goal == "max" else 1.0

    def place(trial: Trial) -> tuple[bool, bool, float, int]:
        value = trial.value if goal is not None else None
        lost = trial.state not in _COUNT
        return value is None, lost, 0.0 if value is None else sign * value, trial.number

    return sorted(trials, key=place)


def best(trials: Sequence[Trial], goal: Goal | None) -> Trial | None:
    """The best of those that have succeeded; None where none has a metric."""
    done = [t for t in trials if t.state == State.SUCCEEDED and t.value is not None]
    return next(iter(ranked(done, goal)), None) if goal is not None else None


def measured(trials: Sequence[Trial]) -> list[tuple[dict[str, Any], float]]:
    """The values and metrics of those that have succeeded and have one."""
    return [
        (trial.params, trial.value)
        for trial in trials
        if trial.state == State.SUCCEEDED and trial.value is not None
    ]
