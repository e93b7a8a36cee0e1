"""Other task queues, each as its documentation says, at the same work with one process."""

from __future__ import annotations

from importlib import import_module

from benchmarks.bulk.peers.common import Peer

NAMES = ("celery", "rq", "dramatiq", "huey")


def peer(name: str) -> Peer | None:
    """The peer of this name; None where it is not installed."""
    try:
        found: Peer = import_module(f"{__name__}.by_{name}").PEER
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("benchmarks"):
            raise
        return None
    return found
