"""Stands in for nvidia-ml-py on machines without a GPU: what it tells stands in a JSON file.

    {"driver": "590.1", "gpus": [{"uuid": "GPU-1", "model": "A", "memory": 24e9, "used": 0,
                                  "parts": [{"uuid": "MIG-1", "model": "A 1g", "memory": 5e9}]}]}

A GPU with `"lost": true` does not answer; without `"gpus"` there is no driver.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

NVML_ERROR_NOT_SUPPORTED = 3
NVML_ERROR_NOT_FOUND = 6
NVML_ERROR_DRIVER_NOT_LOADED = 9
NVML_ERROR_LIBRARY_NOT_FOUND = 12
NVML_ERROR_GPU_IS_LOST = 15
NVML_DEVICE_MIG_ENABLE = 1


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(f"NVML error {value}")
        self.value = value


def _told() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(os.environ["CUDA_FAKE_NVML"]).read_text())
    return found


def nvmlInit() -> None:  # noqa: N802
    if "gpus" not in _told():
        raise NVMLError(NVML_ERROR_LIBRARY_NOT_FOUND)


def nvmlShutdown() -> None:  # noqa: N802
    pass


def nvmlSystemGetDriverVersion() -> str:  # noqa: N802
    return str(_told().get("driver", "590.1"))


def nvmlDeviceGetCount() -> int:  # noqa: N802
    return len(_told()["gpus"])


def nvmlDeviceGetHandleByIndex(index: int) -> dict[str, Any]:  # noqa: N802
    gpu: dict[str, Any] = _told()["gpus"][index]
    if gpu.get("lost"):
        raise NVMLError(NVML_ERROR_GPU_IS_LOST)
    return gpu


def nvmlDeviceGetMigMode(gpu: dict[str, Any]) -> tuple[int, int]:  # noqa: N802
    if "parts" not in gpu:
        raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
    return NVML_DEVICE_MIG_ENABLE, NVML_DEVICE_MIG_ENABLE


def nvmlDeviceGetMaxMigDeviceCount(gpu: dict[str, Any]) -> int:  # noqa: N802
    return 7


def nvmlDeviceGetMigDeviceHandleByIndex(gpu: dict[str, Any], nth: int) -> dict[str, Any]:  # noqa: N802
    if nth >= len(gpu["parts"]):
        raise NVMLError(NVML_ERROR_NOT_FOUND)
    part: dict[str, Any] = gpu["parts"][nth]
    return part


def nvmlDeviceGetUUID(gpu: dict[str, Any]) -> str:  # noqa: N802
    return str(gpu["uuid"])


def nvmlDeviceGetName(gpu: dict[str, Any]) -> bytes:  # noqa: N802
    return str(gpu.get("model", "NVIDIA Fake")).encode()


def nvmlDeviceGetMemoryInfo(gpu: dict[str, Any]) -> SimpleNamespace:  # noqa: N802
    total, used = int(gpu.get("memory", 24e9)), int(gpu.get("used", 0))
    return SimpleNamespace(total=total, used=used, free=total - used)
