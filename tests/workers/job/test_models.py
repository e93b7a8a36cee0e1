"""Models that a warm process has loaded leave by their bytes and their number."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvq import LocalContext, Settings
from cvq.kinds import get_kind, make_spec
from cvq_workers.job.models import LoadedModels
from untrained import untrained


@pytest.mark.parametrize(("limit", "most", "left"), [(1, 32, ["2"]), (1 << 40, 2, ["1", "2"])])
def test_models_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, most: int, left: list[str]
) -> None:
    monkeypatch.setattr("cvq_workers.job.models._MOST", most)
    kind = get_kind("classify", Settings.load())
    models = LoadedModels("cpu", limit, 1, tmp_path)
    for number in range(3):
        file = untrained("fmnist-mlp", LocalContext(tmp_path / str(number)))
        spec = make_spec(kind, {"images": ["x.png"], "model": file})
        models.runner(str(number), kind, spec)
    assert models.keys == left
