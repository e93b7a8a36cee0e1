"""Which trials come next. A pure function of a sweep and of the trials that it has."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Protocol

from ..goals import Goal
from ..states import State
from ..sweep import PRUNED, Trial
from . import sampling
from .space import Params, Space
from .suggesting import Told, suggest


class Plan(Protocol):
    """What a sweep says of its trials."""

    @property
    def method(self) -> str: ...  # noqa: D102
    @property
    def trials(self) -> int: ...  # noqa: D102
    @property
    def parallel(self) -> int | None: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102
    @property
    def direction(self) -> Goal | None: ...  # noqa: D102


def coming(plan: Plan, space: Space, trials: Sequence[Trial]) -> list[tuple[int, Params]]:
    """The numbers and values of the trials for which there is room.

    Args:
        plan: the sweep.
        space: what it varies.
        trials: those that it has.
    """
    known = {trial.number for trial in trials}
    missing = [number for number in range(1, plan.trials + 1) if number not in known]
    busy = sum(not trial.ended for trial in trials)
    room = sys.maxsize if plan.parallel is None else max(0, plan.parallel - busy)
    numbers = missing[:room]
    if not numbers:
        return []
    if plan.method == "optuna":
        return _suggested(plan, space, trials, numbers)
    points = (
        list(sampling.grid(space))
        if plan.method == "grid"
        else sampling.draws(space, plan.trials, plan.seed)
    )
    return [(number, points[number - 1]) for number in numbers]


def _suggested(
    plan: Plan, space: Space, trials: Sequence[Trial], numbers: Sequence[int]
) -> list[tuple[int, Params]]:
    told = [Told(trial.params, trial.value, _told(trial)) for trial in trials]
    found = []
    for number in numbers:
        params = suggest(space, told, plan.direction or "min", plan.seed, number)
        told.append(Told(params, None, "running"))
        found.append((number, params))
    return found


def _told(trial: Trial) -> str:
    if not trial.ended:
        return "running"
    return trial.state if trial.state in (State.SUCCEEDED, PRUNED) else "failed"
