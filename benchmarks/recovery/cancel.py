"""From the order to cancel until nothing of the job is left."""

from __future__ import annotations

import time

import psutil

from .measure import (
    PATIENCE_S,
    attempts_of,
    cluster,
    must,
    quantiles,
    say,
)


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
            assert handle.wait(PATIENCE_S, check=False).state == "cancelled"
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
