"""A job over a shard, under a worker: the kind of the documentation."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from conftest import TESTS, Worker
from cvq import Client, Settings
from cvq.inputs import shards
from waiting import HANG_S

DOCUMENTATION = TESTS.parent / "docs" / "inference.md"


def png(level: int) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.full((8, 8), level, np.uint8)).save(content, "PNG")
    return content.getvalue()


def test_a_shard_is_stored_and_answered_by_a_worker(
    client: Client,
    start_worker: Callable[..., Worker],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = re.search(
        r"```python\n(# brightness\.py\n.*?)```", DOCUMENTATION.read_text(), re.DOTALL
    )
    assert code
    (tmp_path / "brightness.py").write_text(code[1])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(client, "settings", Settings.load(kinds=["brightness"]))
    start_worker(CVQ_KINDS="brightness", PYTHONPATH=str(tmp_path))
    files = [(f"{level}.png", png(level)) for level in range(200)]
    shards.write(tmp_path / "x.tar", [*files, ("readme.txt", b"no picture")])
    handle = client.submit("brightness", images=[tmp_path / "x.tar"])
    twice = client.submit("brightness", images=[tmp_path / "x.tar", tmp_path / "x.tar"])
    (tmp_path / "x.tar").unlink()
    result = handle.wait(HANG_S).result
    assert result is not None
    assert (result["items"], result["failed"]) == (201, 1)
    (saved,) = handle.save(tmp_path)
    rows = parquet.read_table(saved).to_pylist()
    assert {row["name"]: row["brightness"] for row in rows} == {
        **{name: float(name.removesuffix(".png")) for name, _ in files}, "readme.txt": None,
    }  # fmt: skip
    progress = handle.job.progress
    assert progress is not None
    assert (progress["done"], progress["total"], progress["unit"]) == (201, 201, "item")
    assert any("readme.txt has no answer" in line for line in handle.logs())
    assert twice.wait(HANG_S).result["items"] == 402  # type: ignore[index]
