"""Deaths of known causes, against what the history says of them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.storm.cluster import Cluster, wait_until
from cvq import JobHandle

from .measure import PATIENCE_S, attempts_of, cluster, must, say


@dataclass(frozen=True)
class Cause:
    """A way for an attempt to end.

    Attributes:
        name: of the cause; of the way, too, where the job ends by itself.
        end: outcome and reason that the history must have.
        options: how the job is submitted; a `mishap` that ends in the way of the cause's name.
        strike: ends the attempt from outside, once it runs.
    """

    name: str
    end: tuple[str, str | None]
    options: dict[str, Any] = field(default_factory=dict)
    strike: Callable[[Cluster, JobHandle], object] | None = None


def _cancel(made: Cluster, handle: JobHandle) -> None:
    handle.cancel()


def _end_worker(made: Cluster, sig: signal.Signals) -> None:
    worker = made.up()[0]
    worker.leaving = "killed" if sig == signal.SIGKILL else "drained"
    worker.process.send_signal(sig)
    worker.process.wait()
    made.start_worker()
    must(made.up, "a new worker comes up")


_BUSY = {"how": "busy"}
CAUSES = (
    Cause("exit-0", ("failed", "exit:0")),
    Cause("exit-3", ("failed", "exit:3")),
    Cause("sys-exit", ("failed", "exit:7")),
    Cause("null-pointer", ("failed", "signal:SEGV")),
    Cause("abort", ("failed", "signal:ABRT")),
    Cause("fpe", ("failed", "signal:FPE")),
    Cause("term", ("failed", "signal:TERM")),
    Cause("killed", ("failed", "signal:KILL")),
    Cause("exception", ("failed", "error")),
    Cause("permanent", ("failed", "error")),
    Cause("memory-error", ("failed", "oom")),
    Cause("kernel-oom", ("failed", "oom")),
    Cause("cuda-oom", ("failed", "cuda-oom")),
    Cause("no-file", ("failed", "error")),
    Cause("stopped", ("failed", "freeze")),
    Cause("holding-the-lock", ("failed", "freeze")),
    Cause("time limit", ("failed", "timeout"), _BUSY | {"time_limit": 1}),
    Cause("soft time limit", ("failed", "timeout"), _BUSY | {"soft_time_limit": 1}),
    Cause("cancelled", ("cancelled", None), _BUSY, _cancel),
    Cause("drained", ("stopped", "preempted"), _BUSY,
          lambda made, _: _end_worker(made, signal.SIGTERM)),
    Cause("worker killed", ("failed", "worker-lost"), _BUSY,
          lambda made, _: _end_worker(made, signal.SIGKILL)),
)  # fmt: skip


def causes() -> bool:
    """All of them: first those that come by themselves, at once, then the strikes, in turn."""
    with cluster(1, slots=4, lease=5.0) as made, _cgroup() as cgroup:
        by_themselves = [
            (cause, _submitted(made, cause, cgroup))
            for cause in CAUSES
            if cause.strike is None and (cgroup or cause.name != "kernel-oom")
        ]
        for _, handle in by_themselves:
            handle.wait(PATIENCE_S, check=False)
        struck = [(cause, _struck(made, cause)) for cause in CAUSES if cause.strike is not None]
        ends = {cause.name: _end_of(handle) for cause, handle in by_themselves + struck}
    return _compared(ends)


def _submitted(made: Cluster, cause: Cause, cgroup: str | None = None) -> JobHandle:
    values = {"how": cause.name, "retries": 0, "cgroup": cgroup} | cause.options
    return made.client.submit("mishap", **values)


def _struck(made: Cluster, cause: Cause) -> JobHandle:
    handle = _submitted(made, cause)
    must(lambda: handle.refresh().progress, "the job runs")
    assert cause.strike is not None
    cause.strike(made, handle)
    must(lambda: attempts_of(handle)[0].finished_at, "the attempt's end")
    if not handle.refresh().finished:
        handle.cancel()
    return handle


def _end_of(handle: JobHandle) -> tuple[str | None, str | None]:
    first = attempts_of(handle)[0]
    return first.outcome, first.reason


def _compared(ends: dict[str, tuple[str | None, str | None]]) -> bool:
    for cause in CAUSES:
        if cause.name not in ends:
            print(f"       {cause.name}: not tried, for want of the right to make a cgroup")
        elif ends[cause.name] != cause.end:
            print(f"       {cause.name}: expected {cause.end}, recorded {ends[cause.name]}")
    right = sum(ends.get(cause.name) == cause.end for cause in CAUSES)
    return say(f"deaths of known cause: {right} of {len(ends)} right in the history",
               good=right == len(ends))  # fmt: skip


@contextlib.contextmanager
def _cgroup() -> Iterator[str | None]:
    """A cgroup of 200 MB, or None where none may be made."""
    for root in (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")):
        folder = root / f"cvq-bench-{os.getpid()}"
        with contextlib.suppress(OSError):
            folder.mkdir()
            limit = folder / "memory.limit_in_bytes"
            (limit if limit.exists() else folder / "memory.max").write_text(str(200 << 20))
            try:
                yield str(folder)
            finally:
                wait_until(lambda: not (folder / "cgroup.procs").read_text(), 5)  # noqa: B023
                folder.rmdir()
            return
    yield None
