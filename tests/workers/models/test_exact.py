"""`exact`: a picture's answer is the same to the last bit, alone or in any company, in any order.

The networks have learnt nothing: what matters is which kernels run, and in which shapes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvq import Answer, LocalContext, Settings
from cvq.inputs.models import ModelFile
from cvq.kinds import get_kind, make_spec
from cvq_workers.inference.loading import load_runner
from cvq_workers.inference.runner import Runner
from untrained import Drawn, untrained

COUNT = 12


def pictures() -> list[Drawn]:
    return [Drawn(number, (40, 30)) for number in range(COUNT)]


def of_several_sizes() -> list[Drawn]:
    sizes = [(40, 30), (64, 64), (200, 90)]
    return [Drawn(number, sizes[number % 3]) for number in range(COUNT)]


def pairs() -> list[tuple[float, float]]:
    return [(n / 7, 31.25 - n * n / 3) for n in range(COUNT)]


def seeds() -> range:
    return range(40, 40 + COUNT)


@dataclass(frozen=True)
class Case:
    """A kind that uses models, and one that makes a model for it."""

    kind: str
    trained: str
    items: Callable[[], Sequence[Any]]
    values: dict[str, Any]

    def __str__(self) -> str:
        return "-".join([self.kind, self.trained, *map(str, self.values.values())])


CASES = [
    Case("classify", "fmnist-mlp", pictures, {}),
    Case("classify", "fmnist-cnn", pictures, {}),
    Case("classify", "fmnist-cnn", pictures, {"arch": "resnet"}),
    Case("classify", "fmnist-rnn", pictures, {"hidden": 32, "layers": 1}),
    Case("reconstruct", "autoencoder", pictures, {}),
    Case("reconstruct", "autoencoder", pictures, {"arch": "conv"}),
    Case("reconstruct", "vae", pictures, {}),
    Case("colorize", "colorizer", of_several_sizes, {"width": 8}),
    Case("generate", "vae", seeds, {}),
    Case("generate", "vae", seeds, {"arch": "conv"}),
    Case("generate", "face-vae", seeds, {"size": 32}),
    Case("predict-sum", "sum-regressor", pairs, {}),
]
# What a specification needs besides its model, where a runner gets its items from elsewhere.
ITEMS = {"classify": "images", "reconstruct": "images", "colorize": "images"}


def specification(case: Case, model: ModelFile, **values: Any) -> Any:
    kind = get_kind(case.kind, Settings.load())
    if case.kind in ITEMS:
        values.setdefault("images", ["never-read.png"])
    if case.kind == "predict-sum":
        values.setdefault("numbers", [1, 2])
    return make_spec(kind, {"model": model, "exact": True, **values})


def runner(case: Case, ctx: LocalContext) -> Runner:
    kind = get_kind(case.kind, Settings.load())
    return load_runner(
        kind, specification(case, untrained(case.trained, ctx, **case.values)), threads=2
    )


def told(found: Sequence[Any]) -> list[tuple[str, dict[str, bytes]]]:
    """Answers to the last bit: a float is written as its shortest text that reads back as it."""
    assert all(isinstance(each, Answer) for each in found), found
    return [(json.dumps(each.row), dict(each.files)) for each in found]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_answer_is_the_same_alone_in_company_and_in_any_order(
    case: Case, ctx: LocalContext
) -> None:
    items = list(case.items())
    with runner(case, ctx) as answers:
        together = told(answers.answer(items))
        assert len({(row, *files.values()) for row, files in together}) == COUNT
        for place in (0, 5, COUNT - 1):
            assert told(answers.answer([items[place]])) == [together[place]]
        assert told(answers.answer(items[::-1])) == together[::-1]
        some = [items[3], items[3], items[8]]
        assert told(answers.answer(some)) == [together[3], together[3], together[8]]
        strangers = [items[-1]] * 300
        crowd = told(answers.answer([*items[:4], *strangers, *items[4:]]))
        assert crowd[:4] + crowd[304:] == together


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A runner of the smallest network, and what it says of all pictures together."""
    with runner(CASES[0], LocalContext(tmp_path_factory.mktemp("quick"))) as answers:
        yield answers, told(answers.answer(pictures()))


@settings(max_examples=30)
@given(st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=400))
def test_whoever_else_is_asked_about_at_once(quick: Any, places: list[int]) -> None:
    answers, together = quick
    items = pictures()
    found = told(answers.answer([items[place] for place in places]))
    assert found == [together[place] for place in places]


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.kind in ITEMS and not case.values], ids=str
)
def test_a_job_of_its_own_says_the_same(case: Case, ctx: LocalContext, tmp_path: Path) -> None:
    files = []
    for item in case.items():
        files.append(tmp_path / item.name)
        files[-1].write_bytes(item.read())
    model = untrained(case.trained, ctx, **case.values)
    with runner(case, ctx) as answers:
        together = [each.row for each in answers.answer(case.items()) if isinstance(each, Answer)]
    kind = get_kind(case.kind, Settings.load())
    for some in (files, files[4:5]):
        spec = specification(case, model, images=[str(path) for path in some])
        result = kind.load(spec)(spec, LocalContext(tmp_path / f"used{len(some)}"))
        rows = result["predictions" if case.kind == "classify" else "pictures"]
        expected = together if len(some) > 1 else together[4:5]
        assert [{k: v for k, v in row.items() if k != "image"} for row in rows] == expected
