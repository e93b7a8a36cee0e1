"""The slots of a worker: places for one job at a time, each with a device of its own."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import UsageError
from .gpus import Gpu

MOST_SLOTS = 256  # slots of a worker


@dataclass(frozen=True)
class Slot:
    """A place for one job at a time.

    Attributes:
        device: `cpu`, `mps`, or the name of a GPU, `cuda:0`.
        threads: CPU threads that a job here may use.
        gpu: that it computes on, for `cuda:…`.
    """

    device: str
    threads: int
    gpu: Gpu | None = None

    @property
    def kind(self) -> str:
        """`cpu`, `mps` or `cuda`: the device as PyTorch knows it inside the job."""
        return self.device.partition(":")[0]

    def environment(self, *, gpu: bool = True) -> dict[str, str]:
        """The variables that show a job this slot's device and nothing else."""
        shown = self.gpu.uuid if gpu and self.gpu is not None else ""
        return {
            "CUDA_VISIBLE_DEVICES": shown,
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # where a job asks for numbers, as nvidia-smi's
            "OMP_NUM_THREADS": str(self.threads),
        }


def make_slots(gpus: Sequence[Gpu], *, per_gpu: int = 1, on_cpu: int | None = None) -> list[Slot]:
    """The slots of a worker with these GPUs.

    The cores are shared out evenly, so that slots do not fight over them.

    Args:
        gpus: that it computes on.
        per_gpu: slots on each.
        on_cpu: slots besides, that compute on the processor; by default one where there is no
            GPU. On a Mac they compute on its graphics processor.

    Raises:
        UsageError: there would be none, or too many.
    """
    on_cpu = int(not gpus) if on_cpu is None else on_cpu
    # Each GPU has one before any has two: the first slots are the first to be given work.
    places: list[tuple[str, Gpu | None]] = [
        (gpu.name, gpu) for _ in range(per_gpu) for gpu in gpus
    ]
    places += [(_processor(), None)] * on_cpu
    if not places:
        raise UsageError("a worker needs a slot: there is no GPU, and --cpu-slots is 0")
    if len(places) > MOST_SLOTS:
        raise UsageError(f"a worker has at most {MOST_SLOTS} slots, not {len(places)}")
    threads = max(1, cpu_count() // len(places))
    return [Slot(device, threads, gpu) for device, gpu in places]


def shared_out(slots: Sequence[Slot], count: int) -> list[Slot]:
    """So many slots instead, on the same devices in turn."""
    places = list(dict.fromkeys((slot.device, slot.gpu) for slot in slots))
    threads = max(1, cpu_count() // count)
    return [Slot(device, threads, gpu) for device, gpu in (
        places[index % len(places)] for index in range(count)
    )]  # fmt: skip


def _processor() -> str:
    on_apple = platform.system() == "Darwin" and platform.machine() == "arm64"
    return "mps" if on_apple else "cpu"


def cpu_count() -> int:
    """The cores that this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
