"""A TCP proxy before a server's unix socket: a network, which a test can cut."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Proxy:
    """Carries bytes between TCP connections and a unix socket.

    Attributes:
        port: on 127.0.0.1, fixed from the start: before `listen` it refuses connections.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._stalled: set[int] = set()
        self._pause = threading.Event()
        self._slow: float | None = None
        self._sockets: list[socket.socket] = []
        self._server = socket.socket()
        self._server.bind(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]

    def listen(self) -> None:
        """Take connections from now on."""
        self._server.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def stall(self) -> None:
        """Carry nothing more on the connections that there are: they stay open, and silent."""
        self._stalled |= {id(each) for each in self._sockets}

    def slow_down(self, bytes_per_second: float) -> None:
        """Carry no more than this on each connection, in each direction."""
        self._slow = bytes_per_second

    def close(self) -> None:
        """Close everything."""
        self._pause.set()
        for each in [self._server, *self._sockets]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                taken, _ = self._server.accept()
                there = socket.socket(socket.AF_UNIX)
                there.connect(str(self._target))
                self._sockets += [taken, there]
                for source, sink in ((taken, there), (there, taken)):
                    threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if self._slow is not None:
                    self._pause.wait(len(data) / self._slow)
                if id(source) not in self._stalled:
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxied(url: str) -> Iterator[tuple[Proxy, str]]:
    """A proxy before the Postgres of this URL with a unix socket, and the URL through it."""
    base, _, query = url.partition("?")
    folder = query.removeprefix("host=")
    proxy = Proxy(Path(folder, ".s.PGSQL.5432"))
    try:
        yield proxy, base.replace("@/", f"@127.0.0.1:{proxy.port}/")
    finally:
        proxy.close()
