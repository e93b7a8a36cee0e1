"""Kinds: what they and their fields may be called, and what is said of those that will not do."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import pytest
from pydantic import create_model

from cvq import Client, Kind, Settings, Spec
from cvq.kinds import all_kinds, find_kinds, get_kind
from cvq.kinds.spec import OF_EVERY_JOB

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
