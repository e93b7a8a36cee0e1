"""What this machine can compute on, found without loading PyTorch, and the slots it makes."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import UsageError


@dataclass(frozen=True)
class Slot:
    """A place for one job at a time.

    Attributes:
        device: `cpu`, `mps`, or `cuda:` and what CUDA_VISIBLE_DEVICES calls the GPU.
        threads: CPU threads that a job here may use.
    """

    device: str
    threads: int

    @property
    def kind(self) -> str:
        """`cpu`, `mps` or `cuda`: the device as PyTorch knows it inside the job."""
        return self.device.partition(":")[0]

    def environment(self, *, gpu: bool = True) -> dict[str, str]:
        """The variables that show a job this slot's device and nothing else."""
        visible = self.device.partition(":")[2] if gpu else ""
        return {"CUDA_VISIBLE_DEVICES": visible, "OMP_NUM_THREADS": str(self.threads)}


def find_gpus(environ: Mapping[str, str]) -> list[str]:
    """The NVIDIA GPUs that may be used here, as `--device` takes them: `cuda:0`, …

    CUDA_VISIBLE_DEVICES, as a cluster manager sets it, is respected; else nvidia-smi is asked.
    """
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    else:
        names = [str(index) for index in range(_count_gpus())]
    return [f"cuda:{name}" for name in names]


def find_devices(environ: Mapping[str, str]) -> list[str]:
    """Every GPU that may be used here, or the one that stands for all CPU cores."""
    if gpus := find_gpus(environ):
        return gpus
    on_apple = platform.system() == "Darwin" and platform.machine() == "arm64"
    return ["mps"] if on_apple else ["cpu"]


def choose_devices(wanted: str, found: list[str]) -> list[str]:
    """The devices that `--device auto|cpu|mps|cuda|cuda:N` means on this machine.

    Raises:
        UsageError: it is not here; the message says what is.
    """
    if wanted == "auto":
        return found
    if wanted == "cpu":
        return ["cpu"]
    matching = [device for device in found if wanted in (device, device.partition(":")[0])]
    if not matching:
        raise UsageError(f"--device {wanted}: this machine has {', '.join(found)}")
    return matching


def make_slots(devices: list[str], count: int | None) -> list[Slot]:
    """`count` slots spread over the devices; by default one for each.

    The cores are shared out evenly, so that slots do not fight over them.
    """
    count = count or len(devices)
    threads = max(1, cpu_count() // count)
    return [Slot(devices[index % len(devices)], threads) for index in range(count)]


def cpu_count() -> int:
    """The cores that this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _count_gpus() -> int:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    try:
        listed = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
