"""The two pipes and three sockets between a worker and one job process.

Output and events are read as fast as they are stored; the pulse and the leash are read whatever
else waits. Nothing here waits for the end of a pipe, which a process that the job has started may
hold: when the supervisor says that all are gone, everything that they wrote lies in them already.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import time
from collections.abc import Iterable, Iterator, Mapping

from ..launch.launcher import JobEnds
from .lines import LineSplitter

_READ = 1 << 16
_DRAIN_BYTES = 4 << 20  # more is no rest, but somebody who goes on writing
_PIPES, _SOCKETS = ("stdout", "stderr"), ("events", "pulse", "leash")
_SPEECH = {"stdout", "stderr", "events"}  # what waits while too much of it is to be stored


class Channels:
    """The worker's ends, and the job's until they are handed over.

    Args:
        splitters: what takes the bytes of each channel.

    Raises:
        OSError: there are no descriptors left; none is kept.
    """

    def __init__(self, splitters: Mapping[str, LineSplitter]) -> None:
        self.ended: dict[str, float] = {}  # when the other end of a channel was found closed
        self._splitters = splitters
        self._own, self._jobs = contextlib.ExitStack(), contextlib.ExitStack()
        try:
            self._open()
        except BaseException:
            self._jobs.close()
            self._own.close()
            raise

    def _open(self) -> None:
        own: dict[str, int] = {}
        jobs: dict[str, int] = {}
        for name in _PIPES:
            own[name], jobs[name] = os.pipe()
            self._own.callback(os.close, own[name])
            self._jobs.callback(os.close, jobs[name])
        self._sockets: dict[str, socket.socket] = {}
        for name in _SOCKETS:
            self._sockets[name], job_end = socket.socketpair()
            own[name], jobs[name] = self._sockets[name].fileno(), job_end.fileno()
            self._own.enter_context(self._sockets[name])
            self._jobs.enter_context(job_end)
        self._descriptors, self._job_ends = own, JobEnds(**jobs)
        self._selector = self._own.enter_context(selectors.DefaultSelector())
        for name, descriptor in own.items():
            os.set_blocking(descriptor, False)
            self._selector.register(descriptor, selectors.EVENT_READ, name)

    @contextlib.contextmanager
    def hand_over(self) -> Iterator[JobEnds]:
        """The job's ends, to be given to its process; closed here afterwards."""
        with self._jobs:
            yield self._job_ends

    def send(self, name: str, line: bytes) -> None:
        """Say something through a socket; a process that reads nothing misses it."""
        with contextlib.suppress(OSError):
            self._sockets[name].send(line, socket.MSG_DONTWAIT)

    def read(self, seconds: float, *, paused: bool) -> None:
        """Wait at most so long for anything, and take it; output and events not while `paused`."""
        for name in _SPEECH - self.ended.keys():
            descriptor = self._descriptors[name]
            registered = descriptor in self._selector.get_map()
            if paused and registered:
                self._selector.unregister(descriptor)
            elif not paused and not registered:
                self._selector.register(descriptor, selectors.EVENT_READ, name)
        for key, _ in self._selector.select(seconds):
            self._take(key.data)

    def drain(self) -> None:
        """Take what is left of a process that has ended."""
        self._drain(_SPEECH | {"pulse"})

    def drain_output(self) -> None:
        """Take what a process has printed until now, the unfinished last line included."""
        self._drain(_PIPES)

    def _drain(self, names: Iterable[str]) -> None:
        for name in names:
            taken = 0
            while name not in self.ended and taken < _DRAIN_BYTES:
                if not (size := self._take(name)):
                    break
                taken += size
            if name not in self.ended:  # open elsewhere, or too much: the last line is cut
                self._splitters[name].feed(b"")

    def _take(self, name: str) -> int:
        descriptor = self._descriptors[name]
        try:
            data = os.read(descriptor, _READ)
        except BlockingIOError:
            return 0
        except OSError:  # a process that was killed resets its sockets
            data = b""
        self._splitters[name].feed(data)
        if not data:
            self.ended[name] = time.monotonic()
            with contextlib.suppress(KeyError):
                self._selector.unregister(descriptor)
        return len(data)

    def close(self) -> None:
        """Give back the worker's ends; a process that still runs is killed with that."""
        self._own.close()
