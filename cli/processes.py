"""Worker processes of this machine: starting, recognising and stopping them."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cvq.errors import SetupError

if TYPE_CHECKING:
    import psutil

    from cvq.client import Client
    from cvq.records import Worker

MODULE = "cvq_workers"
LEAVE_S = 10.0  # what a worker may need beyond the grace that it gives its jobs
_DEATH_S = 5.0  # what a process may need to end once it is killed


def command(options: Sequence[str]) -> list[str]:
    """The command line of a worker.

    Nothing is imported from the folder where it starts (`-P`): that is wherever somebody stood,
    who may have called a file `six.py`.
    """
    return [sys.executable, "-P", "-m", MODULE, *options]


def start(options: Sequence[str], log: Path | None) -> subprocess.Popen[bytes]:
    """Start a worker in a session of its own, so that Ctrl-C here does not reach it.

    Its output goes to the end of `log`, or where ours goes.

    Raises:
        SetupError: the log cannot be written, or the process not be started.
    """
    try:
        with contextlib.ExitStack() as stack:
            output = None
            if log is not None:
                log.parent.mkdir(parents=True, exist_ok=True)
                output = stack.enter_context(log.open("ab"))
            return subprocess.Popen(
                command(options),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                start_new_session=True,
            )
    except OSError as error:
        raise SetupError(f"a worker cannot be started: {error}") from error


def last_line(log: Path) -> str:
    """The last line that says something in a log; where to look if there is none."""
    with contextlib.suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace")[-20_000:].splitlines()
        said = [line.strip() for line in lines if line.strip()]
        if said:
            return said[-1].removeprefix("cvq: error: ")
    return f"see {log}"


def local_workers(client: Client) -> list[tuple[Worker, psutil.Process | None]]:
    """This machine's workers that have not said goodbye, and the process of each that lives.

    Those that hold their lock in this home folder, whatever the machine was called when they
    started, and the rows under its name of today. A process is one only where the lock tells: the
    number of a dead worker may be a stranger's by now.
    """
    from cvq import queries
    from cvq.presence import present

    here = present(client.settings.home)
    with client.db.read() as connection:
        rows = queries.workers(connection)
    return [
        (row, _process(here.get(row.id)))
        for row in rows
        if row.id in here or row.host == client.settings.host
    ]


def _process(pid: int | None) -> psutil.Process | None:
    import psutil

    try:
        return None if pid is None else psutil.Process(pid)
    except psutil.Error:  # it has left just now
        return None


def stop(
    processes: Iterable[psutil.Process],
    grace: float,
    on_look: Callable[[int], None] = lambda left: None,
) -> list[psutil.Process]:
    """SIGTERM, wait, then SIGKILL; return those that had to be killed.

    Args:
        processes: the workers.
        grace: seconds until SIGKILL.
        on_look: called with how many are left, a few times a second.

    Raises:
        SetupError: one belongs to another user.
    """
    left = list(processes)
    for process in left:
        _signal(process, signal.SIGTERM)
    left = _wait(left, grace, on_look)
    for process in left:
        _signal(process, signal.SIGKILL)
    _wait(left, _DEATH_S, lambda _: None)
    return left


def _wait(
    processes: list[psutil.Process], seconds: float, on_look: Callable[[int], None]
) -> list[psutil.Process]:
    """Wait for processes to end; return those that have not in time."""
    import psutil

    left, deadline = processes, time.monotonic() + seconds
    while left and time.monotonic() < deadline:
        on_look(len(left))
        _, left = psutil.wait_procs(left, timeout=0.2)
        # A parent that waits for none of its children, as the first process of a container often
        # does, leaves each that has ended in the table of processes.
        left = [process for process in left if not _has_ended(process)]
    return left


def _has_ended(process: psutil.Process) -> bool:
    """Whether nothing is left of it but its exit code, which its parent has yet to ask for."""
    import psutil

    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    import psutil

    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        pass
    except psutil.AccessDenied:
        raise SetupError(f"the worker with pid {process.pid} belongs to another user") from None
