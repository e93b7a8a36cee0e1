"""What NVIDIA's driver says of the GPUs, through NVML.

`nvidia-ml-py` comes with a worker's packages. A machine that only submits needs no GPU, and where
the package or the driver is missing there are none.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from .gpus import Gpu

log = logging.getLogger("cvq.devices")


@contextlib.contextmanager
def session() -> Iterator[Any | None]:
    """NVML, ready to be asked, as the module `pynvml`; None where there is no driver."""
    try:
        import pynvml
    except ImportError:
        yield None
        return
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        absent = (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
        if error.value not in absent:
            log.warning("the GPUs cannot be used: %s", error)
        yield None
        return
    try:
        yield pynvml
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def gpus() -> list[Gpu]:
    """All GPUs of this machine by their place on the bus; of a divided one, its instances.

    One that does not answer, as it has fallen off the bus, is left out with a warning.
    """
    found: list[Gpu] = []
    with session() as nvml:
        if nvml is None:
            return []
        for index in range(_count(nvml)):
            try:
                found += _at(nvml, index)
            except nvml.NVMLError as error:
                log.warning("GPU %s is left out: %s", index, error)
    return found


def _count(nvml: Any) -> int:
    try:
        return int(nvml.nvmlDeviceGetCount())
    except nvml.NVMLError as error:
        log.warning("the GPUs cannot be used: %s", error)
        return 0


def driver() -> str | None:
    """The driver's version, or None where there is none."""
    with session() as nvml:
        if nvml is not None:
            with contextlib.suppress(nvml.NVMLError):
                return _text(nvml.nvmlSystemGetDriverVersion())
    return None


def _at(nvml: Any, index: int) -> list[Gpu]:
    """The GPU with a number, or its instances."""
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    whole = _read(nvml, handle, str(index))
    if not _is_divided(nvml, handle):
        return [whole]
    instances = []
    for nth in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        with contextlib.suppress(nvml.NVMLError):  # where no instance is made
            part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, nth)
            instances.append(_read(nvml, part, f"{index}:{nth}", parent=whole.uuid))
    return instances


def _is_divided(nvml: Any, handle: Any) -> bool:
    try:
        current, _pending = nvml.nvmlDeviceGetMigMode(handle)
    except nvml.NVMLError:  # most GPUs cannot be
        return False
    return bool(current == nvml.NVML_DEVICE_MIG_ENABLE)


def _read(nvml: Any, handle: Any, index: str, parent: str | None = None) -> Gpu:
    memory: int | None = None
    with contextlib.suppress(nvml.NVMLError):  # a GPU that shares the processor's memory has none
        memory = int(nvml.nvmlDeviceGetMemoryInfo(handle).total)
    uuid, model = nvml.nvmlDeviceGetUUID(handle), nvml.nvmlDeviceGetName(handle)
    return Gpu(index, _text(uuid), _text(model), memory, parent)


def _text(value: str | bytes) -> str:
    """Text of NVML, which some versions of its package give as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
