"""A job's supervisor: the parent of its process, which ends all that the job has started.

    fork server ──fork──▶ supervisor ──fork──▶ job process ──▶ whatever the job starts

It leads a session of its own and adopts every orphan below it, so that nothing the job starts can
leave, join the processes of another job, or be taken for a stranger's: what it kills are its own
children, not yet waited for, whose numbers cannot have been given to anybody else.

Its leash is a socket to the worker. The worker says `Terminate` or `Kill`, or is gone: then all
ends. The supervisor says `Started` and, when the job's process and all of its descendants are
gone, `Ended`.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path

from ..prctl import adopt_orphans
from ..protocol import ORDERS, Ended, Kill, Order, Report, Started, Terminate, decode, encode

_SWEEP_S = 2.0  # what the end of a job's descendants may hold up the news of its own
_LINGER_S = 60.0  # how long what does not die of SIGKILL is waited for
_AGAIN_S = 0.1
# What the worker hears through its leash, and what would otherwise end the supervisor alone.
_IGNORED = (
    *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM),
)


def supervise(leash: socket.socket, start: Callable[[], int]) -> None:
    """Start a job's process, do what the worker says, and tell how the job ended.

    Args:
        leash: to the worker.
        start: starts the process as the leader of a process group; returns its number.
    """
    adopt_orphans()
    if _is_hung_up(leash):  # the worker has given the attempt up, or is gone
        return
    job = start()
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    _say(leash, Started(job, os.getpid()))
    status, memory = _watch(leash, job)
    left = not end_children()
    died = os.WIFSIGNALED(status)
    end = Ended(
        exit=None if died else os.WEXITSTATUS(status),
        signal=os.WTERMSIG(status) if died else None,
        # Linux counts in KiB, Apple in bytes.
        peak_memory=memory * (1 if sys.platform == "darwin" else 1024),
    )
    _say(leash, end)
    leash.close()
    deadline = time.monotonic() + _LINGER_S
    while left and time.monotonic() < deadline:
        left = not end_children()


def _watch(leash: socket.socket, job: int) -> tuple[int, int]:
    """Obey the worker until the job's process has ended; its wait status and peak memory."""
    poll = select.poll()
    poll.register(leash, select.POLLIN)
    wake, _ = wake_at_children()
    poll.register(wake, select.POLLIN)
    orders = _Orders(leash)
    killing = False
    while True:
        ended = _collect(job)
        if ended is not None:
            return ended
        if killing:
            _kill_tree(job)
        ready = [descriptor for descriptor, _ in poll.poll(_AGAIN_S * 1000 if killing else None)]
        if wake in ready:
            os.read(wake, 4096)
        if leash.fileno() in ready:
            heard = orders.read()
            if heard is None:
                poll.unregister(leash)
            killing = killing or heard is None or Kill() in heard
            if heard and Terminate() in heard:
                _signal(job, signal.SIGTERM)


def _collect(job: int) -> tuple[int, int] | None:
    """Wait for every child that has ended; the job's wait status and peak memory among them."""
    while True:
        pid, status, usage = os.wait4(-1, os.WNOHANG)
        if pid == job:
            if sys.platform != "linux":  # no orphans are adopted there
                _kill_group(job)
            return status, usage.ru_maxrss
        if pid == 0:
            return None


def _kill_tree(job: int) -> None:
    """Kill the job; its descendants are adopted then, and end with `end_children`."""
    if sys.platform != "linux":
        import psutil

        with contextlib.suppress(psutil.Error):
            for process in psutil.Process(job).children(recursive=True):
                process.kill()  # psutil asks first whether it is still the same
    _signal(job, signal.SIGKILL)


def _signal(job: int, number: int) -> None:
    """Signal the job's process, wherever it has gone, and its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        group = os.getpgid(job)
        if group != os.getpgrp():
            os.killpg(group, number)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(job, number)


def end_children(spared: Collection[int] = ()) -> bool:
    """Kill this process's children with their groups, then whom they leave, until none is left.

    A group is killed at once, a process that is just forking included; and no member of a group
    here can be another job's, as each supervisor leads a session of its own.

    Returns:
        whether all are gone; False where some do not die within two seconds.
    """
    deadline = time.monotonic() + _SWEEP_S
    pause = 0.001
    while orphans := [pid for pid in _children() if pid not in spared]:
        for pid in orphans:
            _signal(pid, signal.SIGKILL)
        for pid in orphans:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
    return True


def wake_at_children() -> tuple[int, int]:
    """A pipe that can be read when a child has changed its state; the reading end comes first."""
    read, write = os.pipe()
    for end in (read, write):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return read, write


def _children() -> list[int]:
    own = os.getpid()
    try:
        return [int(pid) for pid in Path(f"/proc/{own}/task/{own}/children").read_text().split()]
    except OSError:  # not Linux, or a kernel without it
        import psutil

        return [process.pid for process in psutil.Process().children()]


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


class _Orders:
    """What the worker says through the leash."""

    def __init__(self, leash: socket.socket) -> None:
        self._leash = leash
        self._rest = b""

    def read(self) -> list[Order] | None:
        """What has come in; None where the worker is gone."""
        try:
            heard = self._leash.recv(4096)
        except OSError:
            return None
        if not heard:
            return None
        *lines, self._rest = (self._rest + heard).split(b"\n")
        orders = []
        for line in lines:
            with contextlib.suppress(ValueError):  # what is no order is not obeyed
                orders.append(decode(line, ORDERS))
        return orders


def _is_hung_up(leash: socket.socket) -> bool:
    try:
        return not leash.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _say(leash: socket.socket, message: Report) -> None:
    with contextlib.suppress(OSError):  # the worker has lost interest
        leash.sendall(encode(message))


# ---------------------------------------------------------------------------- without a server


def main(job_file: str, events: int, pulse: int, leash: int) -> None:
    """Supervise a job process that is started from scratch, with this one's output."""

    def start() -> int:
        for descriptor in (events, pulse):
            os.set_inheritable(descriptor, True)
        os.set_inheritable(leash, False)
        command = [sys.executable, "-P", "-m", "cvq_workers.job.main"]
        command += [job_file, str(events), str(pulse)]
        pid = os.posix_spawn(sys.executable, command, os.environ, setpgroup=0)
        for descriptor in (events, pulse):
            os.close(descriptor)
        return pid

    supervise(socket.socket(fileno=leash), start)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
