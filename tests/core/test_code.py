"""Which code makes a kind's answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cvq import Kind, Settings, Spec
from cvq.kinds import get_kind
from cvq.kinds.code import code_of


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that nobody may import; its `run.py`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "codeplug"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('it was run')\n")
    (package / "run.py").write_text("def run(spec, ctx): ...\n")
    (package / "deep" / "loss.py").write_text("EPS = 1\n")
    return package / "run.py"


def kind(version: str = "", run: str = "codeplug.run:run") -> Kind:
    return Kind(name="codeplug", spec=Spec, run=run, version=version)


def test_code_is_all_of_the_package_and_none_of_it_is_run(plugin: Path) -> None:
    first = code_of(kind())
    assert first is not None
    assert code_of(kind()) == first
    assert code_of(kind(version="2")) not in (first, None)
    (plugin.parent / "deep" / "loss.py").write_text("EPS = 2\n")
    second = code_of(kind())
    assert second not in (first, None)
    (plugin.parent / "notes.txt").write_text("no code")
    (plugin.parent / "__pycache__").mkdir()
    (plugin.parent / "__pycache__" / "run.py").write_text("none either")
    assert code_of(kind()) == second
    (plugin.parent / "deep" / "loss.py").write_text("EPS = 1\n")
    assert code_of(kind()) == first  # by content, and not by time


def test_a_file_that_is_renamed_is_other_code(plugin: Path) -> None:
    first = code_of(kind())
    (plugin.parent / "deep" / "loss.py").rename(plugin.parent / "deep" / "losses.py")
    assert code_of(kind()) not in (first, None)


def test_a_single_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "codealone.py"
    module.write_text("a = 1\n")
    first = code_of(kind(run="codealone:run"))
    (tmp_path / "other.py").write_text("b = 1\n")
    assert code_of(kind(run="codealone:run")) == first
    module.write_text("a = 2\n")
    assert code_of(kind(run="codealone:run")) not in (first, None)


@pytest.mark.parametrize("run", ["__main__:run", "codenowhere:run"])
def test_code_without_sources_is_unknown(run: str) -> None:
    assert code_of(kind(run=run)) is None


def test_more_sources_than_can_be_read_are_unknown(
    plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cvq.kinds.code._MOST_FILES", 3)
    assert code_of(kind()) is None


def test_kinds_that_come_with_cvq_are_told_without_pytorch() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import sys; from cvq import Settings\n"
         "from cvq.kinds import get_kind; from cvq.kinds.code import code_of\n"
         "print(code_of(get_kind('classify', Settings())))\n"
         "assert not {'torch', 'numpy', 'cvq_workers.models'} & set(sys.modules)"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert told.stdout.strip() == code_of(get_kind("classify", Settings()))
