"""The models that a warm process has loaded: the least recently used ones leave first."""

from __future__ import annotations

import gc
import logging
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import psutil

from cvq.kinds.kind import Kind
from cvq.kinds.running import seed_generators
from cvq.kinds.spec import Spec

from ..inference.loading import load_runner
from ..inference.runner import Runner

log = logging.getLogger("cvq.job")

_MOST = 32  # runners, however little they hold: each has threads


class LoadedModels:
    """Runners by batch key, as many as there is room for; the one in use always stays.

    Args:
        device: where models are loaded.
        limit: bytes that they may take together, as measured at their loading.
        threads: of each runner.
        scratch: of each runner.
    """

    def __init__(self, device: str, limit: int, threads: int, scratch: Path) -> None:
        self._device, self._limit, self._threads = device, limit, threads
        self._scratch = scratch
        self._runners: OrderedDict[str, tuple[Runner, int]] = OrderedDict()

    @property
    def keys(self) -> list[str]:
        """The batch keys that are answered without loading anything."""
        return list(self._runners)

    def runner(self, batch_key: str, kind: Kind, spec: Spec) -> Runner:
        """What answers the items of jobs with this key; loaded now where it is not.

        Raises:
            PermanentError: the model cannot be used.
        """
        if batch_key in self._runners:
            self._runners.move_to_end(batch_key)
            return self._runners[batch_key][0]
        kind.load_inference()  # and with it PyTorch, where the kind needs it
        before = self._in_use()
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(self._threads)
        seed_generators(spec.seed)
        runner = load_runner(
            kind, spec, self._device, threads=self._threads, scratch=self._scratch
        )
        size = max(0, self._in_use() - before)
        self._runners[batch_key] = runner, size
        self._make_room()
        return runner

    def _make_room(self) -> None:
        held = sum(size for _, size in self._runners.values())
        while (held > self._limit and len(self._runners) > 1) or len(self._runners) > _MOST:
            _, (runner, size) = self._runners.popitem(last=False)
            runner.close()
            held -= size
        gc.collect()

    def _in_use(self) -> int:
        """Bytes of memory, the device's where that has its own, else with the files mapped."""
        torch: Any = sys.modules.get("torch")
        if self._device.startswith("cuda") and torch is not None:
            return int(torch.cuda.memory_allocated(self._device))
        return int(psutil.Process().memory_info().rss) + mapped()


def mapped() -> int:
    """Bytes of the files that are mapped, programs left out, whether they were read or not."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return 0
    total = 0
    for fields in (line.split(maxsplit=5) for line in lines):
        if len(fields) == 6 and fields[5].startswith("/") and ".so" not in fields[5]:
            start, end = (int(address, 16) for address in fields[0].split("-"))
            total += end - start
    return total
