"""How soon and how well cvq comes back: one figure for each way in which things end.

python -m benchmarks.recovery [lease] [kill] [redis] [causes] [cancel] [resume] [logs]

Every figure has a cluster of its own in a temporary folder, with real workers and a real Redis.
The exit code is 1 where one misses its target.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import psutil

from benchmarks.machine import describe
from cvq import JobHandle, queries
from cvq.broker.embedded import redis_binary
from cvq.lifecycle import jobs
from cvq.records import Attempt, NewJob
from cvq.samples import write_samples

from .storm.cluster import Cluster, Worker, wait_until
from .storm.ledger import parse_ledger
from .storm.plan import StormOptions

_PATIENCE_S = 120.0


@contextlib.contextmanager
def cluster(
    workers: int,
    *,
    slots: int = 1,
    lease: float = 30.0,
    broker_url: str | None = None,
    **environment: str,
) -> Iterator[Cluster]:
    """A cluster whose workers are up."""
    options = StormOptions(jobs=0, workers=workers, slots=slots, lease=lease)
    with Cluster(options, broker_url, environment) as made:
        for _ in range(workers):
            made.start_worker()
        must(lambda: len(made.up()) == workers, "the workers come up")
        yield made
        made.drain()


def must(look: Callable[[], Any], what: str, timeout: float = _PATIENCE_S) -> None:
    """Wait for something, or give up with an error."""
    if not wait_until(look, timeout):
        raise click.ClickException(f"not within {timeout:g} s: {what}")


def attempts_of(handle: JobHandle) -> list[Attempt]:
    """All attempts of a job."""
    with handle.client.db.read() as connection:
        return list(queries.attempts_of(connection, handle.id))


def say(what: str, *, good: bool) -> bool:
    """Print a figure, and whether it meets its target."""
    print(f"{'ok   ' if good else 'MISS '} {what}", flush=True)
    return good


def quantiles(seconds: list[float]) -> str:
    """Median, 99th percentile and maximum in words."""
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return f"median {ordered[len(ordered) // 2]:.2f} s, p99 {p99:.2f} s, worst {ordered[-1]:.2f} s"


# ---------------------------------------------------------------------------- leases


def lease() -> bool:
    """A job a hundred times as long as its lease, with two idle workers beside its own."""
    with cluster(3, lease=1.0) as made:
        handle = made.client.submit(
            "storm", ledger=str(made.ledger), number=0, steps=100, pause=1.0
        )
        handle.wait(_PATIENCE_S + 100)
        begins = [line for line in parse_ledger(_lines(made)) if line.act == "begin"]
    good = len(begins) == 1 and handle.attempt == 1
    return say(
        f"job of 100 s under a lease of 1 s, 2 idle workers: begun {len(begins)} time(s)",
        good=good,
    )


def kill() -> bool:
    """SIGKILL of a worker, until its job begins elsewhere; fifty times for each lease."""
    good = True
    for length, within in ((30.0, 35.0), (5.0, 10.0)):
        times: list[float] = []
        with cluster(10, lease=length) as made:
            while len(times) < 50:
                times += _kill_workers(made, min(5, 50 - len(times)))
        ok = sorted(times)[int(0.99 * len(times))] <= within
        good &= say(f"worker killed to job begun elsewhere, lease {length:g} s, "
                    f"{len(times)} kills: {quantiles(times)} (within {within:g} s)",
                    good=ok)  # fmt: skip
    return good


def _kill_workers(made: Cluster, number: int) -> list[float]:
    """Kill the workers of so many jobs at once, replace them, and wait for the jobs."""
    handles = [
        made.client.submit("storm", ledger=str(made.ledger), number=0, steps=10_000, pause=1.0)
        for _ in range(number)
    ]
    must(lambda: all(_begins(made, handle.id) for handle in handles), "the jobs begin")
    killed: dict[int, float] = {}
    for handle in handles:
        owner = handle.refresh().lease_owner
        worker = next(worker for worker in made.up() if worker.id == owner)
        _kill(worker)
        killed[handle.id] = time.monotonic()
    must(lambda: all(len(_begins(made, handle.id)) == 2 for handle in handles), "they begin again")
    took = [(_begins(made, job)[1] - at) for job, at in killed.items()]
    for handle in handles:
        handle.cancel()
        made.start_worker()
    must(lambda: len(made.up()) == made.options.workers, "new workers come up")
    must(lambda: all(handle.refresh().finished for handle in handles), "the jobs are cancelled")
    return took


def _kill(worker: Worker) -> None:
    worker.leaving = "killed"
    worker.process.kill()
    worker.process.wait()


def _lines(made: Cluster) -> list[str]:
    return made.ledger.read_text().splitlines()


def _begins(made: Cluster, job: int) -> list[float]:
    """The monotonic times, in seconds, at which attempts of a job began."""
    return [
        line.clock
        for line in parse_ledger(_lines(made))
        if line.job == job and line.act == "begin"
    ]


# ---------------------------------------------------------------------------- Redis


def redis() -> bool:
    """Redis killed with all its memory: with 500 jobs queued, and for a time, workers idle."""
    good = True
    with RedisServer() as server, cluster(2, broker_url=server.url) as made:
        handles = [
            made.client.submit("storm", ledger=str(made.ledger), number=n, steps=1, pause=0.02)
            for n in range(500)
        ]
        must(lambda: len(_all_begins(made)) > 100, "a hundred jobs begin")
        server.kill()
        must(lambda: len(_all_begins(made)) > 200, "work goes on")
        server.start()
        for handle in handles:
            handle.wait(_PATIENCE_S)
        begins = _all_begins(made)
        gap = max(later - earlier for earlier, later in pairwise(begins))
        good &= say(f"Redis killed and wiped among 500 queued jobs: {len(begins)} begun and done, "
                    f"longest pause between two starts {gap:.2f} s",
                    good=gap < 5 and len(begins) == 500)  # fmt: skip
        server.kill()
        time.sleep(40)  # Celery tries again less and less often
        with made.client.db.write() as connection:
            for number in range(500):
                jobs.submit(connection, _plain_job(made, number))
        committed = time.monotonic()
        must(lambda: len(_all_begins(made)) > 500, "work begins without Redis")
        waited = _all_begins(made)[500] - committed
        server.start()
        must(lambda: len(_all_begins(made)) == 1000, "all are done")
    return good & say(f"500 jobs queued after Redis was away for 40 s, and still is: the first "
                      f"begun after {waited:.2f} s, all done", good=waited < 5)  # fmt: skip


class RedisServer:
    """A Redis that no worker starts again, on a unix socket."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="cvq-redis-"))
        self._socket = self._folder / "redis.sock"
        self.url = f"unix://{self._socket}"
        self.start()

    def start(self) -> None:
        """Start it, empty."""
        command = [redis_binary(), "--port", "0", "--unixsocket", str(self._socket)]
        self._process = subprocess.Popen(
            [*command, "--save", "", "--dir", str(self._folder)], stdout=subprocess.DEVNULL
        )
        must(self._socket.exists, "Redis starts")

    def kill(self) -> None:
        """Kill it, and its memory with it."""
        self._process.kill()
        self._process.wait()
        self._socket.unlink(missing_ok=True)

    def __enter__(self) -> RedisServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._folder)


def _plain_job(made: Cluster, number: int) -> NewJob:
    values = {"ledger": str(made.ledger), "number": number, "steps": 1, "pause": 0.02}
    spec = made.client.check("storm", **values).model_dump(mode="json")
    return NewJob("storm", spec, "0" * 64, "bench")


def _all_begins(made: Cluster) -> list[float]:
    return sorted(line.clock for line in parse_ledger(_lines(made)) if line.act == "begin")


# ---------------------------------------------------------------------------- causes

CAUSES: dict[str, tuple[str, str | None]] = {
    "exit-0": ("failed", "exit:0"),
    "exit-3": ("failed", "exit:3"),
    "sys-exit": ("failed", "exit:7"),
    "null-pointer": ("failed", "signal:SEGV"),
    "abort": ("failed", "signal:ABRT"),
    "fpe": ("failed", "signal:FPE"),
    "term": ("failed", "signal:TERM"),
    "killed": ("failed", "signal:KILL"),
    "exception": ("failed", "error"),
    "permanent": ("failed", "error"),
    "memory-error": ("failed", "oom"),
    "kernel-oom": ("failed", "oom"),
    "cuda-oom": ("failed", "cuda-oom"),
    "no-file": ("failed", "error"),
    "stopped": ("failed", "freeze"),
    "holding-the-lock": ("failed", "freeze"),
    "time limit": ("failed", "timeout"),
    "soft time limit": ("failed", "timeout"),
    "fork server killed": ("failed", "worker-lost"),
    "worker killed": ("failed", "worker-lost"),
    "drained": ("stopped", "preempted"),
    "cancelled": ("cancelled", None),
}


def causes() -> bool:
    """Deaths of known causes, against what the history says of them."""
    found: dict[str, tuple[str | None, str | None]] = {}
    with cluster(1, slots=4, lease=5.0) as made, _cgroup() as cgroup:
        handles: dict[str, JobHandle] = {}
        for name in CAUSES:
            if (
                " " in name
                or name in ("drained", "cancelled")
                or (name == "kernel-oom" and not cgroup)
            ):
                continue
            handles[name] = made.client.submit("mishap", how=name, retries=0, cgroup=cgroup)
        handles["time limit"] = made.client.submit("mishap", how="busy", retries=0, time_limit=1)
        handles["soft time limit"] = made.client.submit(
            "mishap", how="busy", retries=0, soft_time_limit=1
        )
        for handle in handles.values():
            handle.wait(_PATIENCE_S, check=False)
        for name, end in (("cancelled", lambda h: h.cancel()), ("fork server killed", None),
                          ("drained", None), ("worker killed", None)):  # fmt: skip
            handles[name] = handle = made.client.submit("mishap", how="busy", retries=0)
            must(lambda handle=handle: handle.refresh().progress, "the job runs")
            worker = made.up()[0]
            if end is not None:
                end(handle)
            elif name == "fork server killed":
                server = made.fork_server(worker)
                assert server is not None
                server.kill()
            else:
                worker.leaving = name
                worker.process.send_signal(
                    signal.SIGKILL if name == "worker killed" else signal.SIGTERM
                )
                worker.process.wait()
                made.start_worker()
                must(made.up, "a new worker comes up")
            must(lambda handle=handle: attempts_of(handle)[0].finished_at, "the attempt's end")
            if not handle.refresh().finished:
                handle.cancel()
        found = {name: _end_of(handle) for name, handle in handles.items()}
    for name, expected in CAUSES.items():
        if name not in found:
            print(f"       {name}: not tried, for want of the right to make a cgroup")
        elif found[name] != expected:
            print(f"       {name}: expected {expected}, recorded {found[name]}")
    right = sum(found.get(name) == expected for name, expected in CAUSES.items())
    return say(f"deaths of known cause: {right} of {len(found)} right in the history",
               good=right == len(found))  # fmt: skip


def _end_of(handle: JobHandle) -> tuple[str | None, str | None]:
    first = attempts_of(handle)[0]
    return first.outcome, first.reason


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


# ---------------------------------------------------------------------------- cancel


def cancel() -> bool:
    """From the order to cancel until the whole process tree is gone, a hundred times.

    The tree is a job with a child of its own group and one of its own session. Redis is wiped
    before every second order; a job that is queued is cancelled with no worker up.
    """
    times = []
    with cluster(2) as made:
        for number in range(100):
            handle = made.client.submit("mishap", how="family")
            must(lambda handle=handle: "ready" in handle.logs(), "the job runs")
            pid = attempts_of(handle)[0].pid
            assert pid is not None
            tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
            assert len(tree) == 3
            if number % 2:
                made.flush_redis()
            started = time.monotonic()
            handle.cancel()
            must(
                lambda tree=tree: not any(_lives(process) for process in tree), "the tree is gone"
            )
            times.append(time.monotonic() - started)
            assert handle.wait(_PATIENCE_S, check=False).state == "cancelled"
        for worker in made.up():
            worker.leaving = "drained"
            worker.process.terminate()
            worker.process.wait()
        idle = made.client.submit("mishap", how="busy")
        no_worker = idle.cancel().state == "cancelled"
    ordered = sorted(times)
    good = ordered[98] <= 2
    say(f"cancel to process tree gone, {len(times)} times: {quantiles(times)}", good=good)
    return say("cancel of a queued job with no worker up: at once", good=no_worker) and good


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


# ---------------------------------------------------------------------------- resume


def resume() -> bool:
    """A style transfer killed three times, against one that was left alone: the same bytes."""
    ends: list[tuple[str, list[tuple[int, int]]]] = []
    for kills in (0, 3):
        with cluster(1, CVQ_CHECKPOINT_EVERY="1") as made:
            write_samples(made.home)
            handle = made.client.submit(
                "style-transfer", content=made.home / "content.jpg",
                style=[made.home / "style.jpg"], size=224, steps=80, retries=kills,
            )  # fmt: skip
            for attempt in range(1, kills + 1):
                must(lambda n=attempt, h=handle: _saved_in(h, n), "a checkpoint")
                pid = attempts_of(handle)[attempt - 1].pid
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
            handle.wait(_PATIENCE_S * 3)
            [picture] = handle.save(made.home)
            ends.append((hashlib.sha256(picture.read_bytes()).hexdigest(), _redone(handle)))
    (whole, _), (resumed, redone) = ends
    steps = ", ".join(f"{again} of {saved}" for again, saved in redone)
    same = "equal" if whole == resumed else "DIFFERS"
    return say(f"style transfer killed 3 times: sha256 {same} ({resumed[:12]}); steps "
               f"done again, of those between two checkpoints: {steps}",
               good=whole == resumed)  # fmt: skip


def _saved_in(handle: JobHandle, attempt: int) -> bool:
    with handle.client.db.read() as connection:
        saved = queries.checkpoints_of(connection, handle.id)
    return any(artifact.attempt == attempt for artifact in saved)


def _redone(handle: JobHandle) -> list[tuple[int, int]]:
    """For each resumption: the steps done again, and those that a checkpoint interval has."""
    with handle.client.db.read() as connection:
        points = queries.metric_points(connection, handle.id, names=["total_loss"])
        lines = queries.logs_of(connection, handle.id)
    steps: dict[int, list[Any]] = {}
    for point in points:
        steps.setdefault(point.attempt, []).append(point)
    found = []
    for line in lines:
        if match := re.search(r"resumed after step (\d+)", line.text):
            before = steps[line.attempt - 1]
            seconds = (before[-1].time - before[0].time).total_seconds()
            interval = round(len(before) / max(seconds, 0.1)) + 1
            found.append((before[-1].step - int(match[1]), interval))
    return found


# ---------------------------------------------------------------------------- logs


def logs() -> bool:
    """The last line before `os._exit` and before SIGKILL, fifty times each."""
    with cluster(2) as made:
        handles = [
            made.client.submit("mishap", how=how, number=number, retries=0)
            for number in range(50)
            for how in ("last-line-exit", "last-line-kill")
        ]
        for handle in handles:
            handle.wait(_PATIENCE_S, check=False)
        kept = sum(
            handle.logs() == [f"the last line of {handle.spec['number']}"] for handle in handles
        )
    return say(f"the last line before a sudden end: kept {kept} of {len(handles)}",
               good=kept == len(handles))  # fmt: skip


FIGURES = {
    figure.__name__: figure for figure in (lease, kill, redis, causes, cancel, resume, logs)
}


@click.command()
@click.argument("figures", nargs=-1, type=click.Choice(list(FIGURES)))
def main(figures: tuple[str, ...]) -> None:
    """Measure some figures, by default all of them (about a quarter of an hour)."""
    print(describe(), flush=True)
    good = [FIGURES[name]() for name in figures or FIGURES]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
