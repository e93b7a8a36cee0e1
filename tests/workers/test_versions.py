"""What is noted of the machine and the code with each attempt."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvq import Kind, Spec
from cvq.devices import Slot
from cvq.kinds.code import code_of
from cvq_workers import versions
from cvq_workers.versions import CHANGED, Code, versions_of


def test_what_decides_the_bits_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    noted = versions_of(Slot("cpu", 3))
    assert noted["threads"] == "3"
    assert noted["MKL_CBWR"] == "AVX2"
    assert noted["cpu"]
    assert noted["torch"]
    assert "gpu" not in noted


def test_code_that_has_changed_under_a_worker_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "_LOOK_S", 0.0)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "codeofworker.py"
    module.write_text("a = 1\n")
    kind = Kind(name="changing", spec=Spec, run="codeofworker:run")
    code = Code([kind])
    first = code("changing")
    assert first == code_of(kind) is not None
    module.write_text("a = 22\n")
    assert code("changing") == CHANGED
    module.write_text("a = 1\n")
    assert code("changing") == first
    assert code("unknown") is None
