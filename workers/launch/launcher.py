"""Starts job processes for a worker: by fork from a server with PyTorch loaded, or from scratch.

Either way a supervisor stands between worker and job (`workers/launch/supervisor.py`).
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from cvq.surroundings import leave_removed_folder

from ..protocol import LONGEST_EVENT, Preload, Ready, StartJob, decode, encode
from .environment import job_environment

_LOAD_S = 600.0  # what a cold network file system may take to load PyTorch
_FORK_S = 60.0  # after which a server that has loaded everything and forks nothing is frozen
_STOPPED_S = 2.0  # the same for one that was stopped by a signal


class JobEnds(NamedTuple):
    """The job's ends of its pipes and sockets, as descriptors; the last is its supervisor's."""

    stdout: int
    stderr: int
    events: int
    pulse: int
    leash: int


class ForkServer:
    """One fork server, from its start to its end."""

    def __init__(self, preload: Sequence[str], kinds: Sequence[str], environment: dict[str, str]):
        leave_removed_folder()
        load = encode(Preload(preload, kinds))
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "cvq_workers.launch.server", load],
                stdin=theirs.fileno(),
                env=environment,
                start_new_session=True,
            )
        self._loaded = False

    def ask(self, job_file: Path, ends: JobEnds, kept: Sequence[int]) -> None:
        """Have a job started. Waits where the server, busy loading, has many to start already.

        Raises:
            OSError: the server is dead.
        """
        socket.send_fds(self._connection, [encode(StartJob(str(job_file)))], [*ends, *kept])

    @property
    def alive(self) -> bool:
        """Whether it runs, frozen or not."""
        return self._process.poll() is None

    def frozen(self, waited: float) -> bool:
        """Whether it is proved to do nothing, after so many seconds without an answer."""
        with contextlib.suppress(psutil.Error):
            if psutil.Process(self._process.pid).status() == psutil.STATUS_STOPPED:
                return waited > _STOPPED_S
        return waited > (_FORK_S if self._has_loaded() else _LOAD_S)

    def _has_loaded(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            decode(self._connection.recv(LONGEST_EVENT, socket.MSG_DONTWAIT), [Ready])
            self._loaded = True
        return self._loaded

    def end(self, patience: float = 0.0) -> None:
        """End it; jobs that run go on."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)  # who waits in `ask` wakes up
        try:
            self._process.wait(timeout=patience)
        except subprocess.TimeoutExpired:  # frozen, or loading PyTorch and deaf until then
            self._process.kill()
            self._process.wait()
        self._connection.close()


class Launcher:
    """Starts job processes for one worker.

    Args:
        method: `fork` or `spawn`; None takes `fork` on Linux and `spawn` elsewhere (Apple's
            frameworks do not survive a fork).
        preload: modules that the fork server loads once, for all jobs.
        kinds: modules with more job kinds, loaded as well.
        pass_env: names of variables that jobs get besides those of `environment.PASSED`.

    Attributes:
        kept: descriptors that each job's processes hold until the last of them is gone.
    """

    def __init__(
        self,
        method: str | None = None,
        preload: Sequence[str] = (),
        kinds: Sequence[str] = (),
        pass_env: Iterable[str] = (),
    ) -> None:
        self.method = method or ("fork" if sys.platform == "linux" else "spawn")
        self._preload, self._kinds = preload, kinds
        self._environment = job_environment(os.environ, pass_env)
        self.kept: Sequence[int] = ()
        self._lock = threading.Lock()
        self._server: ForkServer | None = None

    def warm_up(self) -> None:
        """Start the fork server, without waiting until it has loaded everything."""
        if self.method == "fork":
            self._current()

    def start(self, job_file: Path, ends: JobEnds) -> ForkServer | None:
        """Start a job process; return the fork server that was asked to, if one was.

        Args:
            job_file: what `cvq_workers.job.main` needs to know, as JSON.
            ends: given to the job and its supervisor; the caller closes its own.
        """
        if self.method == "spawn":
            self._spawn(job_file, ends)
            return None
        server = self._current()
        try:
            server.ask(job_file, ends, self.kept)
        except OSError:  # it has just died: the next one does it
            self.abandon(server)
            server = self._current()
            server.ask(job_file, ends, self.kept)
        return server

    def abandon(self, server: ForkServer) -> None:
        """End a fork server that is dead or frozen; the next job gets another, and only one."""
        with self._lock:
            if self._server is server:
                self._server = None
                server.end()

    def close(self) -> None:
        """End the fork server."""
        with self._lock:
            if self._server is not None:
                self._server.end(patience=0.5)
            self._server = None

    def _current(self) -> ForkServer:
        with self._lock:
            if self._server is not None and not self._server.alive:
                self._server.end()
                self._server = None
            if self._server is None:
                self._server = ForkServer(self._preload, self._kinds, self._environment)
            return self._server

    def _spawn(self, job_file: Path, ends: JobEnds) -> None:
        leave_removed_folder()
        own = (ends.events, ends.pulse, ends.leash)
        process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "cvq_workers.launch.supervisor",
                str(job_file),
                *map(str, own),
            ],
            stdin=subprocess.DEVNULL,
            stdout=ends.stdout,
            stderr=ends.stderr,
            pass_fds=(*own, *self.kept),
            env=self._environment,
            start_new_session=True,
        )
        # Waited for, so that it leaves no zombie.
        name = f"wait-{process.pid}"
        threading.Thread(target=process.wait, name=name, daemon=True).start()
