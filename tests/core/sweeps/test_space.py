"""What a space's words mean, and which points a grid and random draws have."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from cvq.errors import SpecError, UsageError
from cvq.kinds.builtin.fmnist_cnn import KIND as CNN
from cvq.kinds.builtin.style_transfer import KIND as STYLE
from cvq.kinds.kind import Kind
from cvq.kinds.spec import Spec
from cvq.sweeps import sampling
from cvq.sweeps.fitting import fitted, merged
from cvq.sweeps.space import (
    Choices,
    Parameter,
    Range,
    assignment,
    from_json,
    label,
    parse,
    size,
    split,
)

words = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=5)
choices = st.lists(words, min_size=1, max_size=4, unique=True)
wholes = st.tuples(st.integers(-50, 50), st.integers(1, 50), st.integers(1, 9)).map(
    lambda t: f"int:{t[0]}:{t[0] + t[1]}:{t[2]}"
)
reals = st.tuples(st.floats(1e-6, 1e3), st.floats(1.01, 1e3)).map(lambda t: (t[0], t[0] * t[1]))
values = st.one_of(
    choices.map(",".join),
    wholes,
    reals.map(lambda t: f"log:{t[0]!r}:{t[1]!r}"),
    reals.map(lambda t: f"float:{t[0]!r}:{t[1]!r}"),
)
spaces = st.dictionaries(st.sampled_from("abcde"), values, min_size=1).map(parse)


def within(parameter: Parameter, param: Any) -> bool:
    if isinstance(parameter, Choices):
        return param in parameter.values()
    inside = parameter.low <= param <= parameter.high
    on_grid = not parameter.whole or (param - parameter.low) % parameter.step == 0
    return inside and on_grid and isinstance(param, int if parameter.whole else float)


@given(spaces, st.integers(0, 2**32 - 1))
def test_draws_lie_in_the_space_differ_and_come_again(space: Any, seed: int) -> None:
    trials = min(6, size(space) or 6)
    drawn = sampling.draws(space, trials, seed)
    assert all(within(p, params[p.name]) for params in drawn for p in space)
    assert len({tuple(params.items()) for params in drawn}) == trials
    assert sampling.draws(space, trials, seed) == drawn
    assert sampling.draws(space, max(1, trials - 1), seed) == drawn[: max(1, trials - 1)]


@given(spaces)
def test_what_is_stored_is_the_space(space: Any) -> None:
    assert from_json([parameter.to_json() for parameter in space]) == space


@given(st.lists(choices, min_size=1, max_size=3))
def test_a_grid_has_every_point_once(lists: list[list[str]]) -> None:
    space = parse([(f"p{n}", ",".join(each)) for n, each in enumerate(lists)])
    points = [tuple(params.values()) for params in sampling.grid(space)]
    assert len(points) == len(set(points)) == size(space) == math.prod(map(len, lists))


@given(st.text(max_size=40))
def test_whatever_is_written_is_a_space_or_refused(text: str) -> None:
    try:
        [parameter] = parse([("p", text)])
    except UsageError:
        return
    assert parameter.size is None or parameter.size > 0


@given(st.text('ab,[]{}"\\ ', max_size=20))
def test_no_character_of_a_list_is_lost(text: str) -> None:
    assert ",".join(split(text)).replace(" ", "") == text.replace(" ", "")


def test_the_last_of_a_grid_varies_fastest() -> None:
    points = sampling.grid(parse([("a", "1,2"), ("b", "int:0:4:2")]))
    assert [tuple(p.values()) for p in points] == [
        ("1", 0), ("1", 2), ("1", 4), ("2", 0), ("2", 2), ("2", 4)
    ]  # fmt: skip


@pytest.mark.parametrize("values", ["float:0.1:0.1000001", "log:1:1.000001"])
def test_draws_of_a_range_with_too_few_numbers_end(values: str) -> None:
    with pytest.raises(
        UsageError, match=r"draws found \d+ points? that differ in the digits kept"
    ):
        sampling.draws(parse({"a": values}), 10, seed=1)
    ten = sampling.draws(parse({"a": "float:0.1:0.100009"}), 10, seed=1)
    assert {p["a"] for p in ten} == {round(0.1 + n / 1e6, 6) for n in range(10)}


def test_the_same_seed_draws_the_same_numbers_for_ever() -> None:
    drawn = sampling.draws(parse({"lr": "log:1e-4:1e-1", "n": "int:1:9"}), 2, seed=7)
    assert drawn == [{"lr": 0.00093648, "n": 2}, {"lr": 0.00897023, "n": 1}]


def test_a_logarithm_is_spread_evenly() -> None:
    drawn = sampling.draws(parse({"lr": "log:1e-4:1e-2"}), 400, seed=0)
    below = sum(params["lr"] < 1e-3 for params in drawn)  # type: ignore[operator]
    assert 150 < below < 250, "half of them are in the lower decade"


def test_lists_and_texts_in_quotes_are_read_as_json() -> None:
    [parameter] = parse([("layers", '["a","b"],["c"],"x,y",3')])
    assert isinstance(parameter, Choices)
    assert [c.value for c in parameter.choices] == [["a", "b"], ["c"], "x,y", "3"]
    assert parameter.values() == ['["a","b"]', '["c"]', "x,y", "3"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "the space is empty"),
        ([("a", "1"), ("a", "2")], "a stands twice in the space"),
        ([("learning-rate", "1"), ("learning_rate", "2")], "learning_rate stands twice"),
        ([("a", "")], "a has no values"),
        ([("a", "1,,2")], "a has no values"),
        ([("a", "1,1")], "a: 1 stands twice"),
        ([("a", "log:0:1")], "a=log:0:1: a logarithm takes numbers above 0"),
        ([("a", "log:1:nan")], "a=log:1:nan: 'nan' is no number"),
        ([("a", "float:2:1")], "a=float:2:1: the first number is to be below the second"),
        ([("a", "int:1:2.5")], "a=int:1:2.5: int takes whole numbers"),
        ([("a", "int:1:9:0")], "a=int:1:9:0: the step is to be at least 1"),
        ([("a", "float:1:9:2")], "a=float:1:9:2: only int:LOW:HIGH takes a step"),
        ([("a", "log:1")], "a=log:1 is no range: write log:LOW:HIGH"),
        ([("a", "[1,2")], "a: [1,2 cannot be read as JSON"),
        ([("a", "[" * 100_000)], f"a: {'[' * 79}… cannot be read as JSON: too many brackets"),
    ],
)
def test_a_space_that_is_none_is_refused(given: Any, said: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(given)
    assert str(error.value).startswith(said)


@pytest.mark.parametrize("text", ["lr", "=1", " =1"])
def test_an_assignment_has_a_name_and_values(text: str) -> None:
    with pytest.raises(UsageError, match="names no values"):
        assignment(text)


# ---------------------------------------------------------------------------- of a kind


class Inner(BaseModel):
    flip: bool = False
    shift: int = Field(0, ge=0, le=9)


class NestedSpec(Spec):
    augment: Inner = Inner()
    table: dict[str, float] = Field({})
    limit: float | None = Field(None, gt=0)
    even: int = Field(8, ge=8, le=64, multiple_of=2)


NESTED = Kind(name="nested", spec=NestedSpec, run="x:y")


def fit(kind: Kind, space: Any, **values: Any) -> Any:
    return fitted(kind, parse(space), values)


def test_words_become_what_the_field_has_and_stay_as_they_were_typed() -> None:
    space = fit(CNN, {"learning_rate": "1e-4,0.1", "flip": "yes,none", "epochs": "5,10"})
    assert [p.values() for p in space] == [[1e-4, 0.1], [True, None], [5, 10]]
    point = {"learning_rate": 1e-4, "flip": None, "epochs": 10}
    assert label(space, point) == "learning_rate=1e-4 flip=none epochs=10"


def test_a_logarithmic_range_of_a_field_of_whole_numbers_is_one_of_these() -> None:
    [parameter] = fit(CNN, {"batch_size": "log:16:256"})
    assert isinstance(parameter, Range)
    assert parameter.whole
    assert {parameter.at(0.0), parameter.at(0.999999)} == {16, 256}


def test_a_value_within_a_field() -> None:
    space = fit(NESTED, {"augment.shift": "int:0:9", "augment.flip": "no,yes", "table.x": "1,2"})
    own = {"augment.shift": 3, "augment.flip": True, "table.x": 2.0}
    assert merged(NESTED, {"augment": {"shift": 1}}, own) == {
        "augment": {"shift": 3, "flip": True}, "table": {"x": 2.0}
    }  # fmt: skip
    assert space[1].values() == [False, True]


@pytest.mark.parametrize(
    ("kind", "space", "said"),
    [
        (CNN, {"lr": "0.1"}, "fmnist-cnn has no field 'lr': did you mean 'learning_rate'?"),
        (CNN, {"learning_rat": "0.1"}, "fmnist-cnn has no field 'learning_rat': did you mean"),
        (CNN, {"learning_rate": "log:1e-4:1e4"}, "fmnist-cnn: learning_rate 10000.0: give"),
        (CNN, {"epochs": "float:1:5"}, "fmnist-cnn: epochs 2.5"),
        (CNN, {"epochs": "5,5.0"}, "epochs: 5 and 5.0 are the same value"),
        (CNN, {"epochs": "5,many"}, "fmnist-cnn: epochs 'many': give a whole number"),
        (CNN, {"optimizer": "adam,sdg"}, "fmnist-cnn: optimizer 'sdg': give"),
        (NESTED, {"even": "int:8:64"}, "nested: even 9: give 8 to 64, a multiple of 2"),
        (NESTED, {"augment.shift": "5,10"}, "nested: augment"),
        (NESTED, {"augment.shft": "5,10"}, "there is no 'augment.shft': did you mean 'shift'?"),
        (NESTED, {"limit": "none,0"}, "nested: limit '0': give"),
    ],
)
def test_an_impossible_value_names_its_field(kind: Kind, space: Any, said: str) -> None:
    with pytest.raises((UsageError, SpecError)) as error:
        fit(kind, space)
    assert str(error.value).startswith(said)


def test_a_field_is_given_once() -> None:
    with pytest.raises(UsageError, match="epochs is in the space, and is given a value besides"):
        fit(CNN, {"epochs": "1,2"}, epochs=3)


def test_what_the_kind_needs_is_asked_for() -> None:
    with pytest.raises(SpecError, match="needs content; needs style"):
        fit(STYLE, {"steps": "1,2"})


def test_values_that_do_not_go_together_are_no_fault_of_one() -> None:
    shares = [[1.0], [0.5, 0.5]]
    [parameter] = fit(STYLE, {"style_blend": shares}, content="a.png", style=["b.png"])
    assert parameter.values() == ["[1.0]", "[0.5, 0.5]"]
