"""GPUs for tests on machines that have none: `nvml/pynvml.py` tells of those in a file."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

STAND_IN = Path(__file__).parent / "nvml"


class FakeGpus:
    """The GPUs that NVML tells of, here and in every process that is started."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._file = folder / "nvml.json"
        spec = importlib.util.spec_from_file_location("pynvml", STAND_IN / "pynvml.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setitem(sys.modules, "pynvml", module)
        monkeypatch.setenv("PYTHONPATH", str(STAND_IN), prepend=":")
        # Named as what a job's process is given, where jobs ask NVML, too.
        monkeypatch.setenv("CUDA_FAKE_NVML", str(self._file))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setenv("CVQ_GPU_LOCKS", str(folder / "gpu-locks"))

    def are(self, *gpus: dict[str, Any]) -> None:
        """Let these be there."""
        self._file.write_text(json.dumps({"gpus": gpus}))

    def without_driver(self) -> None:
        """Let there be no driver."""
        self._file.write_text("{}")
