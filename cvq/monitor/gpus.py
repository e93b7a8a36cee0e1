"""What NVML says of this machine's GPUs just now: memory and utilisation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..devices import nvml


class Gpus:
    """Collects from NVML; nothing where there is no GPU."""

    def collect(self) -> Iterator[Any]:
        """What Prometheus is told, as its client asks it."""
        from prometheus_client.core import GaugeMetricFamily as Gauge

        labels = ["gpu", "uuid"]
        used = Gauge("cvq_gpu_memory_used_bytes", "Memory of a GPU in use.", labels=labels)
        total = Gauge("cvq_gpu_memory_bytes", "Memory that a GPU has.", labels=labels)
        busy = Gauge("cvq_gpu_utilization_ratio", "Share of the time in use.", labels=labels)
        for gpu in nvml.gpus():
            name = [gpu.index, gpu.uuid]
            with nvml.session() as module:
                if module is None:
                    continue
                memory, rate = _now(module, gpu.uuid)
            if memory is not None:
                used.add_metric(name, memory.used)
                total.add_metric(name, memory.total)
            if rate is not None:  # an instance of a divided GPU has none
                busy.add_metric(name, rate / 100)
        yield from (used, total, busy)


def _now(module: Any, uuid: str) -> tuple[Any, float | None]:
    """Memory, and utilisation in percent; None of what the GPU does not tell."""
    memory, rate = None, None
    try:
        handle = module.nvmlDeviceGetHandleByUUID(uuid.encode())
        memory = module.nvmlDeviceGetMemoryInfo(handle)
        rate = float(module.nvmlDeviceGetUtilizationRates(handle).gpu)
    except module.NVMLError:
        pass
    return memory, rate
