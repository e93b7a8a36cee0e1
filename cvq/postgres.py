"""Connections to Postgres: how long one may be silent, and who hangs up on it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

_SESSION = {
    # The server hangs up on a client that is frozen or gone, whose locks would hold up all.
    "idle_in_transaction_session_timeout": "'10s'",
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


class MigrationLimits(NamedTuple):
    """Seconds after which Postgres breaks a migration off, and takes back what it has done.

    Attributes:
        lock: for which it waits for others that use a table; whoever comes meanwhile waits, too.
        statement: that one step may take, waiting for another upgrade included.
    """

    lock: float
    statement: float


MIGRATION_LIMITS = MigrationLimits(lock=5.0, statement=900.0)
LOCK_NOT_AVAILABLE, QUERY_CANCELED = "55P03", "57014"  # as SQLSTATE


def patience(lease: float) -> float:
    """Seconds after which a silent connection is given up: so that a lease outlasts it.

    Args:
        lease: its length in seconds.
    """
    return min(max(lease / 3, 2.0), 10.0)


def connect_options(given: Mapping[str, Any], lease: float) -> dict[str, Any]:
    """What libpq is told, below what the URL says.

    By default a network that swallows packets holds a client for a quarter of an hour, and a host
    that does so holds who connects for two minutes.
    """
    seconds = patience(lease)
    return {
        "client_encoding": "utf8",
        "connect_timeout": "5",
        "keepalives": "1",
        "keepalives_idle": "5",
        "keepalives_interval": "2",
        "keepalives_count": "3",
        "tcp_user_timeout": str(round(seconds * 1000)),
    } | dict(given)


def set_up(connection: Any) -> None:
    """Tell the server about a new connection, in one trip.

    Not by `options` as it connects, which a connection pooler in between does not take.
    """
    connection.autocommit = True
    connection.execute("; ".join(f"SET {name} = {value}" for name, value in _SESSION.items()))
    connection.autocommit = False


@dataclass
class Call:
    """A transaction under way; its connection, once there is one, and the server's last answer."""

    connection: Any = None
    since: float = field(default_factory=time.monotonic)


class Calls:
    """All transactions under way, so that one thread can hang up where others wait in vain.

    A server, or a proxy before it, may take what it is sent and never answer: no timeout of TCP's
    helps there.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[int, Call] = {}
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    @contextmanager
    def one(self) -> Iterator[Call]:
        """Keep a transaction in mind while it lasts."""
        call = Call()
        with self._lock:
            self._under_way[id(call)] = call
        try:
            yield call
        finally:
            with self._lock:
                del self._under_way[id(call)]

    def know(self, connection: Any) -> None:
        """Keep a connection of psycopg's in mind, which may be idle or about to be tried."""
        with self._lock:
            self._known.add(connection)

    def hang_up(self, seconds: float, proof: float) -> None:
        """Cut the connections of transactions that have had no answer for longer than `seconds`.

        Those that have waited for longer than `proof` for a connection to show that it is alive
        wait in vain: that takes a server no time.
        """
        with self._lock:
            calls = list(self._under_way.values())
            known = [each for each in self._known if not each.closed]
        now = time.monotonic()
        late = [
            call
            for call in calls
            if now - call.since > (proof if call.connection is None else seconds)
        ]
        silent = [call.connection for call in late if call.connection in known]
        if any(call.connection is None for call in late):  # its connection is not in use yet
            used = [call.connection for call in calls]
            silent += [each for each in known if each not in used]
        for connection in silent:
            _cut(connection)


def _cut(connection: Any) -> None:
    """Make whoever reads from a connection read its end."""
    with contextlib.suppress(Exception):  # it may be closed meanwhile
        copy = socket.socket(fileno=os.dup(connection.fileno()))
        with copy:
            copy.shutdown(socket.SHUT_RDWR)
