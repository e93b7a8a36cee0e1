"""Kinds: what they and their fields may be called, and what is said of those that will not do."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated, ClassVar

import pytest
from pydantic import create_model

from cvq import Client, ImagesFile, InferenceSpec, Kind, Settings, Spec, TrainingSpec
from cvq.goals import Goal
from cvq.kinds import all_kinds, builtin, find_kinds, get_kind, make_spec
from cvq.kinds.kind import OF_EVERY_BATCH, OF_EVERY_JOB
from cvq.kinds.spec import Auto

_MODULE = """
from cvq import Kind, Spec
KIND = Kind(name="{name}", spec=Spec, run="x:run", summary="A kind.")
"""


@pytest.mark.parametrize("name", ["blur", "größe.2", "a" * 100, "3d_net", "x-y"])
def test_what_a_kind_may_be_called(name: str) -> None:
    assert Kind(name=name, spec=Spec, run="x:run", summary="").name == name


@pytest.mark.parametrize(
    "name", ["", "--help", "a b", "a/b", "a\nb", "x\n", "\x1b[31m", "a" * 101, "_a", "."]
)
def test_a_kind_that_could_not_be_typed_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a name has letters, digits"):
        Kind(name=name, spec=Spec, run="x:run", summary="")


def test_a_field_that_submitting_takes_for_the_job_itself_is_refused() -> None:
    submitting = set(inspect.signature(Client.submit).parameters) - {"values"}
    assert submitting == OF_EVERY_JOB
    assert submitting >= set(inspect.signature(Client.check).parameters) - {"values"}
    for name in ("name", "gpu", "queue"):
        spec = create_model("Fields", __base__=Spec, **{name: (int, 0)})
        with pytest.raises(ValueError, match=f"a field '{name}', which every job has: rename it"):
            Kind(name="fields", spec=spec, run="x:run", summary="")
    of_batches = set(inspect.signature(Client.submit_many).parameters) - {"values"}
    assert of_batches == (OF_EVERY_JOB | OF_EVERY_BATCH) - {"on_pack"}
    strict = create_model("Strict", __base__=Spec, strict=(int, 0))
    assert Kind(name="fields", spec=strict, run="x:run", summary="")
    with pytest.raises(ValueError, match="a field 'strict'"):
        Kind(name="fields", spec=strict, summary="", inference="x:X", items="seed")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["selftest"], {"p0": "'selftest'"}),
        (["twin", "twin"], {"p1": "'twin'"}),
        (["one", "two"], {}),
    ],
)
def test_two_kinds_of_one_name_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], said: dict[str, str]
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    modules = [f"p{number}" for number in range(len(names))]
    for module, name in zip(modules, names, strict=True):
        (tmp_path / f"{module}.py").write_text(_MODULE.format(name=name))
        monkeypatch.delitem(sys.modules, module, raising=False)
    settings = Settings.load(kinds=[*modules, modules[0]])  # the same one again is no other
    kinds, broken = find_kinds(settings)
    for module in modules:
        sys.modules.pop(module)
    assert set(names) <= set(kinds)
    wanted = {f"CVQ_KINDS module {module}": name for module, name in said.items()}
    assert set(broken) == set(wanted)
    for what, name in wanted.items():
        assert broken[what] == f"another kind is called {name}, too: rename this one"
    assert get_kind("selftest", settings) is all_kinds(Settings.load())["selftest"]


def test_a_kind_that_comes_with_cvq_is_called_as_its_module() -> None:
    found = {module.name.replace("_", "-") for module in iter_modules(builtin.__path__)}
    kinds = all_kinds(Settings.load())
    assert {name: kind.name for name, kind in kinds.items()} == {name: name for name in found}


def test_one_kind_is_found_without_loading_the_others() -> None:
    code = (
        "import sys; from cvq import Settings; from cvq.kinds import get_kind; "
        "get_kind('selftest', Settings.load()); "
        "sys.exit(any(name.startswith('cvq.kinds.builtin.') and 'selftest' not in name "
        "for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_specification_that_lists_its_open_fields_is_told_to_mark_them() -> None:
    class OldSpec(TrainingSpec):
        left_open: ClassVar[tuple[str, ...]] = ("epochs", "size")
        size: int = 0

    with pytest.raises(ValueError, match=r"OldSpec\.left_open is not read .*, cvq\.Auto\(\)\]"):
        Kind("paint", OldSpec, "paint:run", "Paint.")


class PaintSpec(TrainingSpec):
    """A base that says what its kinds show."""

    goals: ClassVar[dict[str, Goal]] = {"gloss": "max"}
    size: Annotated[int, Auto()] = 0


def test_a_kind_declares_its_figures_or_takes_those_of_its_specifications_base() -> None:
    plain = Kind("paint", PaintSpec, "paint:run", "Paint.")
    assert (plain.headline, plain.goals) == (("val_loss", "train_loss"), {"gloss": "max"})
    assert plain.spec.open_fields() == ["epochs", "batch_size", "size"]
    own = Kind(
        "paint", PaintSpec, "paint:run", "Paint.",
        headline=("gloss",), goals={"drips": "min"}, endings=("png",),
    )  # fmt: skip
    assert (own.headline, own.goals, own.endings) == (("gloss",), {"drips": "min"}, ("png",))
    assert get_kind("vae", Settings.load()).headline == ("val_loss", "val_kl", "loss")
    assert get_kind("fmnist-mlp", Settings.load()).headline[0] == "val_accuracy"


class AskSpec(InferenceSpec):
    """Ask about pictures."""

    images: list[ImagesFile]


def test_a_kind_with_an_inference_needs_no_function_to_run() -> None:
    with pytest.raises(ValueError, match="names neither a function to run nor an inference"):
        Kind("ask", AskSpec, summary="Ask.")
    with pytest.raises(ValueError, match="name the field of its items"):
        Kind("ask", AskSpec, inference="ask:Ask")
    assert Kind("ask", AskSpec, inference="ask:Ask", items="images").run == ""


def test_shards_are_answered_by_the_inference_of_a_kind() -> None:
    kind = get_kind("classify", Settings.load())
    alone, sharded = (
        make_spec(kind, {"images": [name], "model": 1}) for name in ("x.png", "x.tar")
    )
    assert kind.load(alone).__module__ == "cvq_workers.models.classify"
    assert kind.load(sharded).func.__module__ == "cvq_workers.inference.bulk"
    assert kind.load(sharded).args == (kind,)


def test_jobs_that_differ_in_their_items_alone_share_a_batch() -> None:
    kind = get_kind("classify", Settings.load())
    given = {"images": ["x.png"], "model": {"name": "model of job 1", "job": 1}}
    keys = [
        kind.batch_key(make_spec(kind, {**given, **values}).model_dump(mode="json"))
        for values in ({}, {"images": ["y.png", "z.tar"]}, {"exact": True}, {"top": 1})
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert get_kind("selftest", Settings.load()).batch_key({}) is None
