"""`cvq up`: so many workers on this machine, in the foreground or detached."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cvq.devices import NONE, Gpu, find_gpus, holder_of
from cvq.errors import DatabaseError, SetupError
from cvq.files import lock, make_home
from cvq.states import WorkerState
from cvq.text import exactly

from .. import formats, options, processes
from ..display import Form, display
from ..interrupts import Interrupts, Terminated
from ..output import hint, note, say
from ..waiting import Spinner
from ..widths import whole

if TYPE_CHECKING:
    import psutil

    from cvq.client import Client
    from cvq.records import Worker

_READY_S = 90.0  # a cold start of PyTorch from a slow disk


@click.command(
    epilog="\b\nExamples:\n  cvq up                    in the foreground, until Ctrl-C"
    "\n  cvq up -d -n 4            four in the background; run again with another number"
)
@click.option("-d", "--detach", is_flag=True, help="Start them in the background and return.")
@click.option(
    "-n", "--workers", "wanted", type=options.count(0, options.MOST_SLOTS), metavar="N",
    help="How many in total on this machine.  [default: one for each GPU that is free, or one]",
)  # fmt: skip
@click.option(
    "--slots", type=options.count(1, options.MOST_SLOTS), metavar="N",
    help="Jobs at a time in each new worker.",
)  # fmt: skip
@click.option(
    "--timeout", type=options.DURATION, default=_READY_S, metavar="DURATION",
    help="How long to wait until they are ready.  [default: 90s]",
)  # fmt: skip
@options.form("--json", form=Form.JSON, help="Print this machine's workers as JSON (with -d).")
def up(detach: bool, wanted: int | None, slots: int | None, timeout: float) -> int:
    """Start workers on this machine, or change their number.

    Workers that are already up count: missing ones are started, surplus ones are drained. Each
    GPU gets a worker of its own; further workers use the CPU.
    """
    from cvq.client import Client
    from cvq.views import shapes

    client = Client()
    client.broker.connect()
    gpus = find_gpus(os.environ)
    with contextlib.ExitStack() as turn:
        # One at a time, so that several start as many as one. It ends once all are up.
        turn.enter_context(lock(client.settings.home / "up.lock", _say_that_another_is_at_it))
        running = _running(client)
        free = [gpu for gpu in gpus if holder_of(gpu, client.settings.gpu_locks) is None]
        if wanted is None:
            wanted = max(1, len(running) + len(free))
        if len(running) > wanted:
            _drain(client, running, len(running) - wanted)
        fresh = [
            [*_devices(gpu, gpus), *(["--slots", str(slots)] if slots else [])]
            for gpu in _given(free, wanted - len(running))
        ]
        if fresh and not detach:
            return _run_in_foreground(client, fresh, turn.close)
        if fresh:
            _start_detached(client, fresh, timeout)
    rows = [row for row, _ in processes.local_workers(client) if row.alive]
    display(
        rows,
        json=lambda rows: [shapes.worker(row) for row in rows],
        text=lambda rows: _tell(client, len(rows)),
    )
    return 0


def _say_that_another_is_at_it() -> None:
    note("another `cvq up` is starting workers here: waiting until they are up; Ctrl-C stops")


def _running(client: Client) -> list[tuple[Worker, psutil.Process]]:
    """This machine's workers whose process is there, the oldest first."""
    found = processes.local_workers(client)
    return [(row, process) for row, process in found if process and row.state == WorkerState.UP]


def _given(free: Sequence[Gpu], count: int) -> list[Gpu | None]:
    """A GPU for each new worker, of those that nobody uses; None for who does without."""
    return [free[index] if index < len(free) else None for index in range(max(0, count))]


def _devices(gpu: Gpu | None, gpus: Sequence[Gpu]) -> list[str]:
    # Without an NVIDIA GPU the worker finds out itself: there may be an Apple one.
    return ["--gpus", NONE if gpu is None else gpu.uuid] if gpus else []


def _drain(client: Client, running: Sequence[tuple[Worker, Any]], count: int) -> None:
    """Stop the idle ones first, then the youngest."""
    order = running[::-1]
    order = sorted(order, key=lambda pair: len(pair[0].running))
    with closing(Spinner()) as spinner:
        processes.stop(
            [process for _, process in order[:count]],
            client.settings.grace + processes.LEAVE_S,
            lambda left: spinner.show(f"waiting for {formats.count(left, 'worker')} to finish"),
        )


def _start_detached(client: Client, fresh: Sequence[Sequence[str]], timeout: float) -> None:
    """Start workers, and wait until each is known as alive in the database.

    Raises:
        SetupError: one has stopped, or not come up in time.
    """
    make_home(client.settings.home)
    logs: list[Path] = []
    for _ in fresh:
        logs.append(_free_log(client, logs))
    started: dict[int, tuple[subprocess.Popen[bytes], Path]] = {}
    for given, log in zip(fresh, logs, strict=True):
        process = processes.start(given, log)
        started[process.pid] = process, log
    deadline = time.monotonic() + timeout
    with Interrupts() as interrupts, closing(Spinner()) as spinner:
        while missing := _not_yet_up(client, started):
            spinner.show(f"waiting for {formats.count(len(missing), 'worker')} to start")
            for pid in missing:
                process, log = started[pid]
                if process.poll() is not None:
                    raise SetupError(f"a worker stopped: {processes.last_line(log)}")
            if time.monotonic() > deadline:
                raise SetupError(f"a worker is not up after {exactly(timeout)}: see {log}")
            interrupts.sleep(0.1)


def _not_yet_up(client: Client, started: Iterable[int]) -> list[int]:
    ready: set[int] = set()
    with contextlib.suppress(DatabaseError):  # away for now: the workers wait for it, too
        ready = {process.pid for _, process in _running(client)}
    return [pid for pid in started if pid not in ready]


def _free_log(client: Client, taken: Sequence[Path]) -> Path:
    """`logs/worker-N.log` with the lowest N that no running worker writes to."""
    import psutil

    in_use = set(taken)
    for _, process in _running(client):
        with contextlib.suppress(psutil.Error, OSError):  # it may end while it is asked
            in_use |= {Path(file.path) for file in process.open_files()}
    number = 1
    while (log := client.settings.home / "logs" / f"worker-{number}.log") in in_use:
        number += 1
    return log


def _run_in_foreground(
    client: Client, fresh: Sequence[Sequence[str]], when_up: Callable[[], None]
) -> int:
    """Run workers until a signal comes or all of them have stopped."""
    # Killed outright, this process could not stop them.
    bound = ["--stop-with", str(os.getpid())]
    workers = [processes.start([*given, *bound], None) for given in fresh]
    note(f"starting {formats.count(len(workers), 'worker')}; Ctrl-C stops")
    code = 0
    try:
        with Interrupts() as interrupts:
            code = _until_all_stopped(client, workers, when_up, interrupts)
    except (KeyboardInterrupt, Terminated):
        note("stopping; Ctrl-C again stops at once")
        _stop(workers, client.settings.grace + processes.LEAVE_S)
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()
    return code


def _until_all_stopped(
    client: Client, workers: Sequence[subprocess.Popen[bytes]], when_up: Callable[[], None],
    interrupts: Interrupts,
) -> int:  # fmt: skip
    left = list(workers)
    starting = True
    while left:
        interrupts.sleep(0.2)
        if starting and not _not_yet_up(client, [worker.pid for worker in left]):
            starting = False
            when_up()
        for worker in [worker for worker in left if worker.poll() is not None]:
            left.remove(worker)
            note(f"cvq: error: the worker with pid {worker.pid} has stopped "
                 f"(exit code {worker.returncode})")  # fmt: skip
    return 4


def _stop(workers: Sequence[subprocess.Popen[bytes]], grace: float) -> None:
    for worker in workers:
        if worker.poll() is None:
            worker.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + grace
    with contextlib.suppress(KeyboardInterrupt, subprocess.TimeoutExpired):
        for worker in workers:
            worker.wait(timeout=max(0.0, deadline - time.monotonic()))


def _tell(client: Client, count: int) -> None:
    say(f"{count} {'worker is' if count == 1 else 'workers are'} up on this machine")
    if count:
        hint(
            "`cvq workers` lists them, `cvq down` stops them; "
            f"their logs are in {whole(client.settings.home / 'logs')}"
        )
