"""Starts job processes: by fork from a server that has PyTorch loaded, or from scratch.

    worker ──socket──▶ fork server ──fork──▶ job process

Starting Python with PyTorch takes about two seconds, a fork a tenth of one. The server is single-
threaded and never computes: a fork of a process that has run multi-threaded PyTorch hangs. It
leads nobody's process group, so that Ctrl-C in the worker's terminal reaches neither it nor the
jobs. When the worker dies, its socket closes and the server kills every job's process group.

A job's `status` pipe carries two JSON lines: `{"pid": 4711}` at its start and, at its end,
`{"exit": 0, "signal": null, "peak_memory": 123456789}`.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from cvq.errors import CvqError
from cvq.kinds import all_kinds
from cvq.settings import Settings
from cvq.surroundings import leave_removed_folder

from .job_process import PR_SET_CHILD_SUBREAPER
from .job_process import main as job_main

# glibc gives every large tensor back to the kernel at once, and the next step faults it in
# again: 48,000 page faults a step in training. Keeping the memory costs nothing that matters.
#
# A thread of OpenMP that is done spins until the others are. Where another process wants the same
# core, everybody spins while the last one waits for its turn. After a short spin it had better
# sleep (benchmarks/contention.py).
COMPUTING = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
    "GOMP_SPINCOUNT": "1000",
}
# What a job has no business to know.
SECRETS = ("CVQ_DATABASE_URL", "CVQ_BROKER_URL")


class Launcher:
    """Starts job processes for one worker.

    Args:
        method: `fork` or `spawn`; None takes `fork` on Linux and `spawn` elsewhere (Apple's
            frameworks do not survive a fork).
        preload: modules that the fork server loads once, for all jobs.
    """

    def __init__(self, method: str | None = None, preload: Sequence[str] = ()) -> None:
        self._preload = preload
        self.method = method or ("fork" if sys.platform == "linux" else "spawn")
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def warm_up(self) -> None:
        """Start the fork server, without waiting until it has loaded everything."""
        if self.method == "fork":
            with self._lock:
                self._connected()

    def start(self, job_file: Path, *, stdout: int, stderr: int, control: int) -> int:
        """Start a job process; return the reading end of its status pipe.

        Args:
            job_file: what `cvq_workers.job_process` needs to know, as JSON.
            stdout: the job's standard output, a file descriptor; also `stderr`.
            control: the job's end of its control socket.
        """
        status_read, status_write = os.pipe()
        try:
            if self.method == "fork":
                self._ask_server(job_file, [stdout, stderr, control, status_write])
            else:
                self._spawn(job_file, stdout, stderr, control, os.dup(status_write))
        except BaseException:
            os.close(status_read)
            raise
        finally:
            os.close(status_write)
        return status_read

    def abandon(self) -> None:
        """Kill a fork server that does nothing any more; its jobs end, the next gets another."""
        with self._lock:
            if self._server is not None:
                self._server.kill()
                self._server.wait()

    def close(self) -> None:
        """End the fork server, and with it every job process that is left."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            if self._server is not None:
                try:
                    self._server.wait(timeout=0.5)
                except subprocess.TimeoutExpired:  # still loading PyTorch, deaf until then
                    self._server.kill()
                    self._server.wait()
            self._socket = self._server = None

    def _ask_server(self, job_file: Path, descriptors: list[int]) -> None:
        with self._lock:
            message = json.dumps({"job_file": str(job_file)}).encode()
            try:
                socket.send_fds(self._connected(), [message], descriptors)
            except OSError:  # the server died: the next one does it
                self._server = None
                socket.send_fds(self._connected(), [message], descriptors)

    def _connected(self) -> socket.socket:
        if self._server is not None and self._server.poll() is None:
            assert self._socket is not None
            return self._socket
        if self._socket is not None:
            self._socket.close()
        leave_removed_folder()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "cvq_workers.forkserver", *self._preload],
                stdin=theirs.fileno(),
                env=job_environment(),
                start_new_session=True,
            )
        self._socket = ours
        return ours

    def _spawn(self, job_file: Path, stdout: int, stderr: int, control: int, status: int) -> None:
        leave_removed_folder()
        process = subprocess.Popen(
            [sys.executable, "-m", "cvq_workers.job_process", str(job_file), str(control)],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            pass_fds=[control],
            env=job_environment(),
            process_group=0,
        )
        _say(status, {"pid": process.pid})

        def wait() -> None:
            _, code, usage = os.wait4(process.pid, 0)
            process.returncode = code  # Popen must not wait a second time
            _report_end(status, code, usage.ru_maxrss)

        threading.Thread(target=wait, name=f"wait-{process.pid}", daemon=True).start()


def job_environment() -> dict[str, str]:
    """The environment of job processes."""
    kept = {name: value for name, value in os.environ.items() if name not in SECRETS}
    # albumentations otherwise asks the network for its newest version at import.
    return COMPUTING | {"NO_ALBUMENTATIONS_UPDATE": "1"} | kept


# ---------------------------------------------------------------------------- the server


def serve(connection: socket.socket, preload: Sequence[str]) -> None:
    """Fork a job for every request until the worker closes its end."""
    for name in preload:
        # What is missing is missed by the job that needs it.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with contextlib.suppress(CvqError):
        all_kinds(Settings.load())
    _adopt_orphans()
    wake_read, wake_write = os.pipe()
    for end in (wake_read, wake_write):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    jobs: dict[int, int] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        selector.register(wake_read, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if wake_read in ready:
                os.read(wake_read, 4096)
                _collect(jobs)
            if connection in ready:
                message, descriptors, _, _ = socket.recv_fds(connection, 65536, 4)
                if not message:
                    break
                _fork(json.loads(message), descriptors, jobs)
    for pid in jobs:
        _kill_group(pid)
    for pid in jobs:
        os.waitpid(pid, 0)
    _kill_orphans(())


def _fork(request: dict[str, Any], descriptors: list[int], jobs: dict[int, int]) -> None:
    stdout, stderr, control, status = descriptors
    pid = os.fork()
    if pid == 0:
        _become_job(request, stdout, stderr, control, close=[status, *jobs.values()])
    with contextlib.suppress(OSError):  # either side may be first
        os.setpgid(pid, pid)
    for descriptor in (stdout, stderr, control):
        os.close(descriptor)
    jobs[pid] = status
    _say(status, {"pid": pid})


def _become_job(
    request: dict[str, Any], stdout: int, stderr: int, control: int, close: Iterable[int]
) -> None:
    code = 70
    try:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (stdout, 1), (stderr, 2)):
            os.dup2(source, target)
            if source > 2:
                os.close(source)
        for descriptor in close:
            os.close(descriptor)
        code = job_main(Path(request["job_file"]), control)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        # Not sys.exit: the server's exit handlers and open files are not this process's.
        os._exit(code)


def _collect(jobs: dict[int, int]) -> None:
    """Report every job that has ended, and end what it left running."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None:
            return
        # Not yet waited for, so its number cannot be another process's.
        _kill_group(ended.si_pid)
        _, code, usage = os.wait4(ended.si_pid, 0)
        if ended.si_pid in jobs:
            status = jobs.pop(ended.si_pid)
            _kill_orphans(jobs)
            _report_end(status, code, usage.ru_maxrss)


def _adopt_orphans() -> None:
    """Become the parent of what jobs leave behind, also of what left their process groups."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def _kill_orphans(jobs: Collection[int]) -> None:
    """Kill the children that are no jobs.

    Each job process adopts its own orphans, so these were left by jobs that have ended.
    """
    while orphans := [pid for pid in _children() if pid not in jobs]:
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _children() -> list[int]:
    """This process's children; looked for in all of /proc only where there is any."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return []
    import psutil

    return [process.pid for process in psutil.Process().children()]


def _report_end(status: int, wait_status: int, max_rss: int) -> None:
    died = os.WIFSIGNALED(wait_status)
    _say(
        status,
        {
            "exit": None if died else os.WEXITSTATUS(wait_status),
            "signal": os.WTERMSIG(wait_status) if died else None,
            # Linux counts in KiB, Apple in bytes.
            "peak_memory": max_rss * (1 if sys.platform == "darwin" else 1024),
        },
    )
    os.close(status)


def _say(status: int, message: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the worker has lost interest
        os.write(status, json.dumps(message).encode() + b"\n")


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    serve(socket.socket(fileno=0), sys.argv[1:])
