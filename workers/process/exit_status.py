"""Why a job's process ended without a word: its exit code, its signal, or the kernel's kill."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

from cvq.states import Reason

from ..failures import exit_reason, signal_name
from ..protocol import Ended


@dataclass(frozen=True)
class ProcessEnd:
    """How a process that has run ended.

    Attributes:
        report: of its supervisor; None where that died itself.
        abandoned: why the process says that it ends itself.
        out_of_memory: whether the kernel has just killed some process for lack of memory.
    """

    report: Ended | None = None
    abandoned: str | None = None
    out_of_memory: bool = False


def cause_of(end: Ended | None, *, out_of_memory: bool) -> tuple[str, str]:
    """Reason and explanation of an end.

    Args:
        end: what the supervisor reported; None where it died itself.
        out_of_memory: whether the kernel has just killed some process for lack of memory.
    """
    if end is None:
        return Reason.WORKER_LOST, "the job's supervisor died, and the job with it"
    number = end.signal
    if number == signal.SIGKILL and out_of_memory:
        return (
            Reason.OOM,
            "the kernel killed the job's process: the machine or container had no memory",
        )
    if number:
        words = f"the job's process was killed by signal {signal_name(number)}"
        return exit_reason(-number), words
    return exit_reason(end.exit or 0), f"the job's process left with exit code {end.exit}"


class OomWatch:
    """Notices that the kernel has killed a process for lack of memory.

    The kernel counts its kills in the process's own cgroup; so one in somebody else's container is
    not taken for one here. Where there are no cgroups, it counts those of the machine.
    """

    def __init__(self, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> None:
        self._proc, self._cgroups = proc, cgroups
        self._file: Path | None = None
        self._before = self._last = 0

    def look(self, pid: int | None) -> None:
        """Remember the count; called now and then while the process lives."""
        if pid is None:
            return
        file = self._file_of(pid)
        count = _read_count(file)
        # Two looks, so that an end that comes right after one is compared with the one before.
        self._before = self._last if file == self._file else count
        self._file, self._last = file, count

    def killed(self) -> bool:
        """Whether there was such a kill since the look before the last."""
        return self._file is not None and _read_count(self._file) > self._before

    def _file_of(self, pid: int) -> Path:
        """Where the kernel counts its kills in the cgroup of a process."""
        try:
            entries = (self._proc / str(pid) / "cgroup").read_text().splitlines()
        except OSError:  # it has just ended
            return self._file or self._proc / "vmstat"
        for entry in entries:
            _, controllers, path = entry.split(":", 2)
            if controllers == "memory":  # version 1
                file = self._cgroups / "memory" / path.lstrip("/") / "memory.oom_control"
            elif not controllers:
                file = self._cgroups / path.lstrip("/") / "memory.events"
            else:
                continue
            if file.is_file():
                return file
        return self._proc / "vmstat"


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
