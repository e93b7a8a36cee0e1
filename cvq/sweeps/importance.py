"""How much each parameter of a sweep has to do with the metric.

Of a grid and of random draws it is what one parameter alone explains of the variance: trials are
grouped by its value (those of a range into four groups of equal size), and epsilon squared (Kelley
1935) is the share of the variance that lies between the groups, less what chance would put there.

Optuna's suggestions crowd where the metric is good, and no group is like another. There it is the
functional ANOVA of Hutter, Hoos and Leyton-Brown (ICML 2014), on a random forest, where Optuna and
scikit-learn are installed.
"""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from .space import Parameter, Params, Range, Space, varying

LEAST_TRIALS = 4
_GROUPS = 4

FANOVA = "functional ANOVA (Optuna)"
ALONE = "variance explained by each parameter alone"


class Importance(NamedTuple):
    """How much each parameter matters, the most important first.

    Attributes:
        method: how it was found: `FANOVA` or `ALONE`.
        shares: of each parameter, from 0 to 1.
        trials: how many it was found from.
    """

    method: str
    shares: dict[str, float]
    trials: int


def importance(
    space: Space, trials: Sequence[tuple[Params, float]], *, optuna: bool
) -> Importance | None:
    """How much each parameter that varies matters; None of too few trials, or of equal ones.

    Args:
        space: of the sweep.
        trials: the values of each, and its metric.
        optuna: whether to ask Optuna, where it is installed.
    """
    parameters = varying(space)
    values = [value for _, value in trials]
    if len(values) < LEAST_TRIALS or not parameters or max(values) == min(values):
        return None
    if optuna and all(map(importlib.util.find_spec, ("optuna", "sklearn"))):
        from .suggesting import fanova

        method, shares = FANOVA, fanova(parameters, trials)
    else:
        method, shares = ALONE, {p.name: _alone(p, trials) for p in parameters}
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    return Importance(method, dict(ordered), len(values))


def _alone(parameter: Parameter, trials: Sequence[tuple[Params, float]]) -> float:
    """Epsilon squared of the groups that a parameter makes."""
    groups = _groups(parameter, trials)
    values = [value for _, value in trials]
    mean = fmean(values)
    total = sum((value - mean) ** 2 for value in values)
    within = sum((value - fmean(group)) ** 2 for group in groups for value in group)
    free = len(values) - len(groups)
    if free < 1:  # as many groups as trials: they explain all, and nothing
        return 0.0
    return max(0.0, 1 - (within / free) / (total / (len(values) - 1)))


def _groups(parameter: Parameter, trials: Sequence[tuple[Params, float]]) -> list[list[float]]:
    """The metrics of trials that have the same of a parameter, or nearly."""
    of = [(params[parameter.name], value) for params, value in trials]
    if isinstance(parameter, Range) and len({param for param, _ in of}) > _GROUPS:
        of.sort(key=lambda each: float(each[0] or 0))
        of = [(nth * _GROUPS // len(of), value) for nth, (_, value) in enumerate(of)]
    found: defaultdict[object, list[float]] = defaultdict(list)
    for param, value in of:
        found[type(param), param].append(value)
    return list(found.values())
