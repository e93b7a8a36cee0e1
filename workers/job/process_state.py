"""What one inference may leave behind in a process that others share: settings and descriptors."""

from __future__ import annotations

import locale
import os
import resource
import sys
import threading
from pathlib import Path
from typing import Any

import psutil

_MOST_THREADS = 2000  # those of 32 runners are none too many


class ProcessState:
    """Knows how the process was, and finds what has been changed since and not put back.

    It looks at what would change another inference's answers, or where its files lie. What PyTorch
    and numpy are set to counts from when they were first seen.
    """

    def __init__(self) -> None:
        self._known = _look()

    def changes(self) -> list[str]:
        """What is not as it was, in words."""
        found = _look()
        self._known = {**found, **self._known}
        return [name for name, value in found.items() if value != self._known[name]]


def _look() -> dict[str, Any]:
    return {**_of_process(), **_of_numpy(), **_of_torch()}


def _of_process() -> dict[str, Any]:
    return {
        "the working folder": _folder(),
        "the locale": locale.setlocale(locale.LC_ALL),
        # What is closed is soon another file, into which others would print.
        "the standard streams": [id(sys.stdout), id(sys.stderr), *map(_identity, range(3))],
    }


def _folder() -> str | None:
    try:
        return str(Path.cwd())
    except OSError:  # removed
        return None


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _of_numpy() -> dict[str, Any]:
    numpy = sys.modules.get("numpy")
    return {} if numpy is None else {"numpy's errstate": numpy.geterr()}


def _of_torch() -> dict[str, Any]:
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return {}
    cudnn = torch.backends.cudnn
    return {
        "PyTorch's default dtype": torch.get_default_dtype(),
        "PyTorch's default device": str(torch.get_default_device()),
        "PyTorch's threads": torch.get_num_threads(),
        "PyTorch's gradients": torch.is_grad_enabled(),
        "PyTorch's deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "PyTorch's precision of products": torch.get_float32_matmul_precision(),
        "PyTorch's mkldnn": torch.backends.mkldnn.enabled,
        "PyTorch's cudnn": (cudnn.enabled, cudnn.benchmark, cudnn.deterministic),
    }


def is_crowded() -> bool:
    """Whether so many threads or descriptors were left behind that soon none may be had."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    descriptors = psutil.Process().num_fds()
    few_left = soft != resource.RLIM_INFINITY and descriptors > soft // 2
    return few_left or threading.active_count() > _MOST_THREADS


def own_memory() -> int:
    """Bytes that the process holds alone: weights that are mapped are not among them."""
    held = psutil.Process().memory_info()
    return int(held.rss - getattr(held, "shared", 0))
