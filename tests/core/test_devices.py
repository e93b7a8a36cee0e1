"""Which devices a machine has, and the slots that they make."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cvq.devices import find_gpus


def test_gpus_are_found_without_pytorch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_gpus(os.environ) == []
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: 1)'\necho 'GPU 1: B (UUID: 2)'\n")
    tool.chmod(0o755)
    assert find_gpus(os.environ) == ["cuda:0", "cuda:1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    assert find_gpus(os.environ) == ["cuda:3", "cuda:5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert find_gpus(os.environ) == []
