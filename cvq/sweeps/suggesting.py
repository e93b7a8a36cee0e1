"""What Optuna suggests next, as a pure function of what the trials so far have shown.

Optuna is asked by ask and tell: a study in memory is made anew from the history for each question,
so that nothing is lost with the process that asks. Its own storages are never used.
"""

from __future__ import annotations

import hashlib
import importlib.util
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..errors import MissingExtraError
from ..goals import Goal
from .space import Choices, Param, Parameter, Params, Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

_BEGUN = datetime(2000, 1, 1)


class Told(NamedTuple):
    """What a trial has shown.

    Attributes:
        params: its values.
        value: its metric; None where it has none, or it was not finite.
        state: `running`, `succeeded`, `pruned`, or another: of that nothing is learnt.
    """

    params: Params
    value: float | None
    state: str


def require() -> None:
    """Make sure that Optuna is there.

    Raises:
        MissingExtraError: it is not installed.
    """
    if importlib.util.find_spec("optuna") is None:
        raise MissingExtraError("sweep", "a sweep by Optuna")


def suggest(space: Space, told: Sequence[Told], goal: Goal, seed: int, number: int) -> Params:
    """The values of the next trial, by tree-structured Parzen estimators (Bergstra 2011).

    The same question has the same answer, whoever asks it and when.

    Args:
        space: of the sweep.
        told: all trials so far, in order; those that run count as no better than others.
        goal: which way the metric is better.
        seed: of the sweep.
        number: of the trial.
    """
    require()
    from optuna import create_study
    from optuna.samplers import TPESampler

    with _quiet():
        sampler = TPESampler(seed=_mixed(seed, number), constant_liar=True)
        study = create_study(direction=_direction(goal), sampler=sampler)
        _fill(study, space, told)
        drawn = study.ask(_distributions(space)).params
    return {parameter.name: _param(parameter, drawn[parameter.name]) for parameter in space}


def fanova(space: Space, trials: Sequence[tuple[Params, float]]) -> dict[str, float]:
    """The share of the variance that each parameter has, those of its interactions left out."""
    from optuna import create_study
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    with _quiet():
        study = create_study()
        _fill(study, space, [Told(params, value, "succeeded") for params, value in trials])
        evaluator = FanovaImportanceEvaluator(seed=0)
        shares = get_param_importances(study, evaluator=evaluator, normalize=False)
    return {name: float(share) for name, share in shares.items()}


def _fill(study: Study, space: Space, told: Sequence[Told]) -> None:
    """Tell a study what is known."""
    from optuna.trial import FrozenTrial, TrialState

    distributions = _distributions(space)
    for each in told:
        state, value = TrialState[_outcome(each)], each.value
        pruned = state is TrialState.PRUNED and value is not None
        study.add_trial(
            FrozenTrial(
                number=-1,  # the study numbers them
                trial_id=-1,
                state=state,
                value=value if state is TrialState.COMPLETE else None,
                datetime_start=_BEGUN,
                datetime_complete=_BEGUN if state.is_finished() else None,
                params={p.name: _drawn(p, each.params[p.name]) for p in space},
                distributions=distributions,
                user_attrs={},
                system_attrs={},
                # How good it was when it was pruned: such trials count less than any other.
                intermediate_values={1: float(value or 0)} if pruned else {},
            )
        )


def _outcome(told: Told) -> str:
    """The name of Optuna's state of a trial."""
    if told.state == "running":
        return "RUNNING"
    if told.state == "pruned":
        return "PRUNED"
    return "COMPLETE" if told.state == "succeeded" and told.value is not None else "FAIL"


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    return {parameter.name: _distribution(parameter) for parameter in space}


def _distribution(parameter: Parameter) -> BaseDistribution:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if isinstance(parameter, Choices):  # by their places: words and numbers, 1 and yes go together
        return CategoricalDistribution(list(range(parameter.size)))
    if not parameter.whole:
        return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
    low, high, step = int(parameter.low), int(parameter.high), parameter.step
    return IntDistribution(low, high - (high - low) % step, log=parameter.log, step=step)


def _param(parameter: Parameter, drawn: Any) -> Param:
    if isinstance(parameter, Choices):
        return parameter.choices[int(drawn)].param
    return parameter.fitted(drawn)


def _drawn(parameter: Parameter, param: Any) -> Any:
    return (
        parameter.choices.index(parameter.find(param)) if isinstance(parameter, Choices) else param
    )


def _direction(goal: Goal) -> Literal["maximize", "minimize"]:
    return "maximize" if goal == "max" else "minimize"


def _mixed(seed: int, number: int) -> int:
    """A seed for each trial."""
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4], "big")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's log of each trial, and its warnings of what may change in it."""
    from optuna import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before)
