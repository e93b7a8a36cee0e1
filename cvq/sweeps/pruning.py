"""The median rule: which running trial is not worth its time. A pure function.

After Golovin et al., "Google Vizier" (KDD 2017, section 3.2.2): a trial stops where the best that
it has reached by a step is worse than the median of what the others had reached by that step.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple, TypeAlias

from ..figures import number
from ..goals import Goal
from ..text import count

WARM_UP = 3  # values that a trial records before it may be pruned
LEAST_OTHERS = 3  # that have come as far: a median of fewer says little

Curve: TypeAlias = Sequence[tuple[int, float | None]]
"""(step, value) in the order of the steps; None of what was not finite."""


class Verdict(NamedTuple):
    """Why a trial is to be pruned.

    Attributes:
        step: that it has reached.
        best: what it has reached by then; None where nothing was finite.
        median: of what the others had.
        others: how many of them there are.
    """

    step: int
    best: float | None
    median: float
    others: int

    def sentence(self, metric: str) -> str:
        """What the trial's history says of it."""
        return (
            f"{metric} {number(self.best)} by step {self.step} is worse than the median "
            f"{number(self.median)} of {count(self.others, 'other')}"
        )


def judge(
    own: Curve, others: Sequence[Curve], goal: Goal, *, warm_up: int = WARM_UP
) -> Verdict | None:
    """Whether a trial is to be pruned at the step that it has reached; None: it goes on.

    Args:
        own: its curve.
        others: those of the other trials, however they have ended.
        goal: which way the metric is better.
        warm_up: values that it must have recorded.
    """
    if len(own) < max(1, warm_up):
        return None
    step = own[-1][0]
    reached = [_best(curve, step, goal) for curve in others if curve and curve[-1][0] >= step]
    finite = [best for best in reached if best is not None]
    if len(finite) < LEAST_OTHERS:
        return None
    best, middle = _best(own, step, goal), median(finite)
    worse = best is None or (best < middle if goal == "max" else best > middle)
    return Verdict(step, best, middle, len(finite)) if worse else None


def _best(curve: Curve, step: int, goal: Goal) -> float | None:
    values = [value for at, value in curve if at <= step and value is not None]
    return (max if goal == "max" else min)(values, default=None)
