"""Why a job's process ended without a word: its exit code, its signal, or the kernel's kill."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

_FRESH_S = 5.0


def cause_of(end: dict[str, Any], *, out_of_memory: bool) -> tuple[str, str]:
    """Reason and explanation of an end.

    Args:
        end: what the fork server reported: `exit` or `signal`; empty where it died itself.
        out_of_memory: whether the kernel has just killed some process for lack of memory.
    """
    number = end.get("signal")
    if number == signal.SIGKILL and out_of_memory:
        return "oom", "the kernel killed the job's process: the machine or container had no memory"
    if number:
        name = signal_name(number)
        return f"signal:{name}", f"the job's process was killed by signal {name}"
    if end.get("exit") is not None:
        return f"exit:{end['exit']}", f"the job's process left with exit code {end['exit']}"
    return "worker-lost", "the fork server died"


def signal_name(number: int) -> str:
    """`SEGV` for 11; the number itself for one without a name, as real-time signals are."""
    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:
        return str(number)


class OomWatch:
    """Notices that the kernel has killed a process for lack of memory.

    The kernel counts its kills: in `/proc/vmstat` those of the whole machine, in a cgroup (v2)
    those of its own processes. A kill in somebody else's container is not taken for one here.
    """

    def __init__(self, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> None:
        self._machine = proc / "vmstat"
        self._own = _own_events(proc, cgroups)
        # Two looks, so that an end that comes right after one is compared with the one before.
        self._before = self._last = self._count()
        self._looked = time.monotonic()

    def look(self) -> None:
        """Remember the counts; called now and then while all is well."""
        if time.monotonic() - self._looked > _FRESH_S:
            self._before, self._last = self._last, self._count()
            self._looked = time.monotonic()

    def killed(self) -> bool:
        """Whether there was such a kill since the look before the last."""
        return self._count() > self._before

    def _count(self) -> int:
        # The own cgroup's count alone where there is one: the machine's holds everybody's.
        return _read_count(self._own) if self._own else _read_count(self._machine)


def _own_events(proc: Path, cgroups: Path) -> Path | None:
    """The file in which this process's cgroup counts; None without cgroups v2, or at the root."""
    try:
        entries = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return None
    for entry in entries:
        if entry.startswith("0::"):
            events = cgroups / entry[3:].lstrip("/") / "memory.events"
            return events if events.is_file() else None
    return None


def _read_count(path: Path) -> int:
    """The line `oom_kill N` of a file of the kernel's; 0 where there is none."""
    try:
        for line in path.read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    except (OSError, ValueError):
        pass
    return 0
