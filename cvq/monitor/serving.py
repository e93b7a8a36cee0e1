"""Metrics over HTTP, on one's own machine unless told otherwise."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import MissingExtraError, SetupError, UsageError

LOOPBACK = "127.0.0.1"
HIGHEST = 65_535


def serve(
    collectors: Sequence[Any], port: int, host: str = LOOPBACK
) -> tuple[int, Callable[[], None]]:
    """Answer at `/metrics` in a thread of its own.

    Args:
        collectors: of what is told at a scrape.
        port: 0 for any that is free.
        host: the address of this machine at which to listen.

    Returns:
        the port, and what ends it.

    Raises:
        UsageError: the port is out of range.
        SetupError: somebody else has it, or it may not be used.
    """
    if not 0 <= port <= HIGHEST:
        raise UsageError(f"port {port}: give 1 to {HIGHEST}")
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ModuleNotFoundError:
        raise MissingExtraError("metrics", "figures for Prometheus") from None
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)  # which asks it nothing before the first scrape
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        why = {errno.EADDRINUSE: "is taken", errno.EACCES: "is for root alone"}
        said = why.get(error.errno or 0, f"cannot be used ({error.strerror or error})")
        raise SetupError(f"port {port} of {host} {said}: give another") from None

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return int(server.server_port), end
