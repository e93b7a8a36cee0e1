"""Which trial is pruned, which is best, what matters, and what Optuna would try next."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvq.errors import MissingExtraError
from cvq.states import State
from cvq.sweep import PRUNED, Trial
from cvq.sweeps import suggesting
from cvq.sweeps.coming import coming
from cvq.sweeps.importance import ALONE, FANOVA, importance
from cvq.sweeps.pruning import LEAST_OTHERS, judge
from cvq.sweeps.ranking import best, ranked
from cvq.sweeps.space import parse
from cvq.sweeps.starting import _Whole

finite = st.floats(-1e6, 1e6)
curves = st.lists(finite, min_size=1, max_size=6).map(lambda v: list(enumerate(v, 1)))


def curve(*values: float | None) -> list[tuple[int, float | None]]:
    return list(enumerate(values, 1))


def trial(number: int, state: str = State.SUCCEEDED, value: float | None = None) -> Trial:
    return Trial(number, {"x": number}, number, state, value)


# ---------------------------------------------------------------------------- the median rule

OTHERS = [curve(0.5, 0.6, 0.7), curve(0.4, 0.7, 0.6), curve(0.6, 0.5, 0.8)]


def test_a_trial_below_the_median_of_the_others_best_is_pruned() -> None:
    verdict = judge(curve(0.1, 0.2, 0.3), OTHERS, "max")
    assert verdict is not None
    assert verdict.sentence("acc") == (
        "acc 0.3 by step 3 is worse than the median 0.7 of 3 others"
    )


def test_what_was_once_good_is_not_pruned_for_its_last_value() -> None:
    assert judge(curve(0.9, 0.2, 0.1), OTHERS, "max") is None
    assert judge(curve(0.7, 0.2, 0.1), OTHERS, "max") is None, "as good as the median"


def test_lower_may_be_better() -> None:
    assert judge(curve(0.9, 0.9, 0.9), OTHERS, "min") is not None
    assert judge(curve(0.1, 0.9, 0.9), OTHERS, "min") is None


def test_nothing_is_pruned_while_it_warms_up_or_few_have_come_as_far() -> None:
    assert judge(curve(0.1, 0.1), OTHERS, "max", warm_up=3) is None
    assert judge(curve(0.1, 0.1, 0.1), OTHERS[:2], "max") is None
    assert judge(curve(0.1, 0.1, 0.1, 0.1), OTHERS, "max") is None, "none of them has step 4"
    assert judge([], OTHERS, "max", warm_up=1) is None


def test_a_trial_that_is_no_number_any_more_is_worse_than_all() -> None:
    assert judge(curve(None, None, None), OTHERS, "max") is not None


@given(curves, st.lists(curves, max_size=6), st.sampled_from(["min", "max"]))
def test_at_most_half_of_those_alike_are_pruned(own: Any, others: Any, goal: Any) -> None:
    verdict = judge(own, others, goal, warm_up=1)
    sign = 1 if goal == "max" else -1
    peers = [c for c in others if c[-1][0] >= own[-1][0]]
    at = own[-1][0]
    mine = max(sign * v for _, v in own)
    better = sum(max(sign * v for s, v in c if s <= at) > mine for c in peers)
    if verdict is not None:
        assert len(peers) >= LEAST_OTHERS
        assert better >= len(peers) / 2
    mirrored = [[(s, -v) for s, v in c] for c in others]
    flipped = judge([(s, -v) for s, v in own], mirrored, "min" if goal == "max" else "max",
                    warm_up=1)  # fmt: skip
    assert (flipped is None) == (verdict is None)


# ---------------------------------------------------------------------------- ranks


def test_the_best_is_first_and_what_has_no_number_last() -> None:
    trials = [
        trial(1, value=None), trial(2, value=0.5), trial(3, PRUNED, 0.9), trial(4, value=0.7),
        trial(5, State.RUNNING, 0.6), trial(6, State.FAILED), trial(7, value=0.7),
    ]  # fmt: skip
    assert [t.number for t in ranked(trials, "max")] == [4, 7, 5, 2, 3, 1, 6]
    assert [t.number for t in ranked(trials, "min")] == [2, 5, 4, 7, 3, 1, 6]
    assert [t.number for t in ranked(trials, None)] == [1, 2, 4, 5, 7, 3, 6]
    assert best(trials, "max") == trials[3]
    assert best([trials[0], trials[2], trials[4]], "max") is None


# ---------------------------------------------------------------------------- importance

SPACE = parse({"lr": "log:1e-4:1e-1", "opt": "a,b", "noise": "float:0:1", "same": "1"})


def measured(number: int) -> list[tuple[dict[str, Any], float]]:
    """Of which the logarithm of lr explains nearly all, and `noise` nothing."""
    source = random.Random(0)
    params = [{p.name: p.at(source.random()) for p in SPACE} for _ in range(number)]
    return [(p, math.log10(p["lr"]) + 0.1 * (p["opt"] == "a")) for p in params]  # type: ignore[arg-type]


@pytest.mark.parametrize("optuna", [False, True])
def test_what_explains_the_metric_is_found(optuna: bool) -> None:
    found = importance(SPACE, measured(40), optuna=optuna)
    assert found is not None
    assert found.method == (FANOVA if optuna else ALONE)
    assert next(iter(found.shares)) == "lr"
    assert found.shares["lr"] > 0.7
    assert found.shares["noise"] < 0.15
    assert "same" not in found.shares


def test_nothing_is_said_of_few_trials_or_equal_ones() -> None:
    assert importance(SPACE, measured(3), optuna=False) is None
    assert importance(SPACE, [(params, 1.0) for params, _ in measured(9)], optuna=True) is None
    one = [({"x": "1"}, float(n)) for n in range(9)]
    assert importance(parse({"x": "1"}), one, optuna=False) is None


def test_as_many_values_as_trials_explain_nothing() -> None:
    trials: Any = [({"x": str(n)}, float(n)) for n in range(5)]
    found = importance(parse({"x": "0,1,2,3,4"}), trials, optuna=False)
    assert found is not None
    assert found.shares == {"x": 0.0}


# ---------------------------------------------------------------------------- what comes next


def test_what_is_missing_comes_as_there_is_room() -> None:
    space = parse({"x": "1,2,3,4,5"})
    plan = _Whole("grid", 5, 0, parallel=2)
    assert coming(plan, space, []) == [(1, {"x": "1"}), (2, {"x": "2"})]
    trials = [trial(1), trial(3, State.RUNNING)]
    assert coming(plan, space, trials) == [(2, {"x": "2"})]
    assert coming(plan, space, [trial(n, State.QUEUED) for n in (1, 2)]) == []
    everything = coming(_Whole("grid", 5, 0), space, [trial(4)])
    assert [number for number, _ in everything] == [1, 2, 3, 5]


def test_suggestions_come_near_the_best_and_are_the_same_for_whoever_asks() -> None:
    space = parse({"lr": "log:1e-4:1e-1", "n": "int:1:9:4", "opt": ["a", None, True, 1]})
    trials: list[Trial] = []
    plan = _Whole("optuna", 40, 3, parallel=1, direction="max")
    for number in range(1, 26):
        [(nth, params)] = coming(plan, space, trials)
        assert nth == number
        assert coming(plan, space, trials) == [(nth, params)], "asked again"
        value = None if number % 7 == 0 else -abs(math.log10(params["lr"]) + 2)  # type: ignore[arg-type]
        state = {3: PRUNED, 6: State.FAILED}.get(number % 8, State.SUCCEEDED)
        trials.append(Trial(number, params, number, state, value))
    assert {type(t.params["n"]) for t in trials} == {int}
    assert {t.params["n"] for t in trials} <= {1, 5, 9}
    late = [abs(math.log10(t.params["lr"]) + 2) for t in trials[15:]]
    assert sum(late) / len(late) < 0.6, "random draws are 0.83 away on average"


def test_trials_that_run_are_not_suggested_again() -> None:
    space = parse({"lr": "float:0:1"})
    plan = _Whole("optuna", 20, 0, parallel=20, direction="min")
    points = [params["lr"] for _, params in coming(plan, space, [])]
    assert len(set(points)) == 20


def test_optuna_is_asked_for_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suggesting.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match="a sweep by Optuna needs more packages: pip"):
        suggesting.require()
