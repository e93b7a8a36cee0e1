"""The fork server: a process that has loaded PyTorch once, and forks a supervisor for each job.

    worker ──socket──▶ fork server ──fork──▶ supervisor ──fork──▶ job process

Starting Python with PyTorch takes about two seconds, a fork a tenth of one. The server is single-
threaded and never computes: a fork of a process that has run multi-threaded PyTorch hangs. It
leads a session of its own, so that Ctrl-C in the worker's terminal does not reach it.

Once a job's supervisor is forked, the server has nothing to do with the job any more: one that
dies costs no job anything, and the next job gets another.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from cvq.kinds import all_kinds
from cvq.settings import Settings

from ..job.main import main as job_main
from ..prctl import adopt_orphans, die_with_parent
from ..protocol import Preload, Ready, StartJob, decode, encode
from .supervisor import end_children, supervise, wake_at_children

_REQUEST = 65_536  # bytes; a request is a path
_DESCRIPTORS = 5  # of a job; what comes behind them is kept open, and nothing else
_MOST_DESCRIPTORS = 250  # that a message may have
_AGAIN_MS = 100  # until orphans that do not die of SIGKILL are looked for again


def serve(connection: socket.socket, preload: Preload) -> None:
    """Fork a supervisor for every request until the worker closes its end."""
    _load(preload)
    adopt_orphans()  # those of a supervisor that was killed
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe = wake, _ = wake_at_children()
    poll = select.poll()
    for descriptor in (connection.fileno(), wake):
        poll.register(descriptor, select.POLLIN)
    supervisors: set[int] = set()
    orphans = False
    with contextlib.suppress(OSError):
        connection.send(encode(Ready()))
    while True:
        ready = [descriptor for descriptor, _ in poll.poll(_AGAIN_MS if orphans else None)]
        if wake in ready:
            os.read(wake, 4096)
        if wake in ready or orphans:
            _collect(supervisors)
            orphans = not end_children(spared=supervisors)
        if connection.fileno() in ready:
            message, descriptors = _receive(connection)
            if not message:
                # The supervisors see for themselves that the worker has gone.
                end_children(spared=supervisors)
                return
            supervisors.add(_fork(decode(message, [StartJob]), descriptors, pipe))


def _receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    """A request and its descriptors; nothing where the worker has gone, in whatever manner."""
    try:
        message, descriptors, _, _ = socket.recv_fds(connection, _REQUEST, _MOST_DESCRIPTORS)
    except ConnectionResetError:  # it left before it had read that this server was ready
        return b"", []
    return message, descriptors


def _load(preload: Preload) -> None:
    """Import what jobs will need; what cannot be loaded is missed by the job that needs it."""

    def load_kinds() -> None:
        all_kinds(Settings(kinds=list(preload.kinds)))

    modules = [partial(importlib.import_module, name) for name in preload.modules]
    loads: list[Callable[[], Any]] = [*modules, load_kinds]
    for load in loads:
        try:
            load()
        except ImportError:
            pass
        except (Exception, SystemExit) as error:
            print(f"cvq: the fork server could not load all: {error!r}", file=sys.stderr)


def _collect(supervisors: set[int]) -> None:
    """Forget the supervisors that have ended; any other child is what one has left."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        supervisors.discard(pid)


def _fork(request: StartJob, descriptors: list[int], pipe: tuple[int, int]) -> int:
    pid = os.fork()
    if pid == 0:
        _become_supervisor(request, descriptors[:_DESCRIPTORS], pipe)
    for descriptor in descriptors:
        os.close(descriptor)
    return pid


def _become_supervisor(request: StartJob, descriptors: list[int], pipe: tuple[int, int]) -> None:
    *own, leash = descriptors
    try:
        os.setsid()
        # What it was before says nothing: asyncio resets it at a fork, from Python 3.12 on.
        signal.set_wakeup_fd(-1)
        for end in pipe:
            os.close(end)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)  # where the server's connection was
        os.close(null)
        supervise(socket.socket(fileno=leash), lambda: _fork_job(request, own, leash))
    except BaseException:
        traceback.print_exc()
    finally:
        # Not sys.exit: the server's exit handlers and open files are not this process's.
        os._exit(0)


def _fork_job(request: StartJob, descriptors: list[int], leash: int) -> int:
    supervisor = os.getpid()
    pid = os.fork()
    if pid == 0:
        die_with_parent()
        if os.getppid() != supervisor:  # it died before the kernel was told
            os._exit(1)
        os.close(leash)
        _become_job(request, *descriptors)
    with contextlib.suppress(OSError):  # either side may be first
        os.setpgid(pid, pid)
    for descriptor in descriptors:
        os.close(descriptor)
    return pid


def _become_job(request: StartJob, stdout: int, stderr: int, events: int, pulse: int) -> None:
    code = 70
    try:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        for source, target in ((stdout, 1), (stderr, 2)):
            os.dup2(source, target)
            os.close(source)
        code = job_main(Path(request.job_file), events, pulse)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=0), decode(os.fsencode(sys.argv[1]), [Preload]))
