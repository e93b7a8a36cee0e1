"""Causes of death from what a process leaves: codes, signals, and the kernel's own count."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from cvq_workers.process.exit_status import OomWatch, cause_of
from cvq_workers.protocol import Ended


@pytest.mark.parametrize(
    ("end", "out_of_memory", "reason"),
    [
        (Ended(0, None, 0), False, "exit:0"),
        (Ended(3, None, 0), True, "exit:3"),
        (Ended(None, signal.SIGSEGV, 0), True, "signal:SEGV"),
        (Ended(None, signal.SIGKILL, 0), False, "signal:KILL"),
        (Ended(None, signal.SIGKILL, 0), True, "oom"),
        (Ended(None, 40, 0), False, "signal:40"),
        (None, False, "worker-lost"),
    ],
)
def test_causes(end: Ended | None, out_of_memory: bool, reason: str) -> None:
    assert cause_of(end, out_of_memory=out_of_memory)[0] == reason


def machine(folder: Path, cgroup: str, counts: dict[str, int]) -> OomWatch:
    """A watch over a process 42 of a machine whose files say these counts."""
    (folder / "proc/42").mkdir(parents=True, exist_ok=True)
    (folder / "proc/42/cgroup").write_text(cgroup)
    for name, count in counts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"oom_kill_disable 0\nlow 0\noom_kill {count}\nother 7\n")
    return OomWatch(folder / "proc", folder / "cg")


V1 = "9:name=systemd:/\n4:memory:/docker/abc\n0::/\n"
V1_FILE = "cg/memory/docker/abc/memory.oom_control"
V2 = "0::/user.slice/me\n"
V2_FILE = "cg/user.slice/me/memory.events"


@pytest.mark.parametrize(
    ("cgroup", "file"), [(V1, V1_FILE), (V2, V2_FILE), ("0::/\n", "proc/vmstat")]
)
def test_a_kill_in_the_process_own_cgroup_counts(tmp_path: Path, cgroup: str, file: str) -> None:
    watch = machine(tmp_path, cgroup, {file: 5})
    watch.look(42)
    assert not watch.killed()
    machine(tmp_path, cgroup, {file: 6})
    assert watch.killed()
    watch.look(42)
    assert watch.killed(), "a look right after the kill has hidden it"


def test_a_kill_elsewhere_does_not_count(tmp_path: Path) -> None:
    watch = machine(tmp_path, V2, {V2_FILE: 5, "proc/vmstat": 5})
    watch.look(42)
    machine(tmp_path, V2, {V2_FILE: 5, "proc/vmstat": 9})
    assert not watch.killed()


def test_kills_before_the_process_moved_into_a_cgroup_do_not_count(tmp_path: Path) -> None:
    watch = machine(tmp_path, V2, {V2_FILE: 0, "cg/other/memory.events": 8})
    watch.look(42)
    machine(tmp_path, "0::/other\n", {})
    watch.look(42)
    assert not watch.killed()


def test_a_process_that_was_never_seen_has_no_count(tmp_path: Path) -> None:
    watch = machine(tmp_path, V2, {V2_FILE: 3})
    watch.look(None)
    assert not watch.killed()
