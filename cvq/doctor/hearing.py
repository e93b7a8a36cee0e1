"""Who listens on Redis: each worker there says who it is, as Celery asks it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..broker.queue import CONNECT_TIMEOUT_S, Broker, keepalive_options

_PATIENCE_S = 1.5  # what an answer may take
_SOCKET_S = 3.0


class Listener(NamedTuple):
    """A worker process."""

    host: str
    pid: int


def listeners(broker: Broker) -> set[Listener]:
    """The workers that answer on this Redis, whatever database is theirs; it has to be up."""
    from celery import Celery

    logging.getLogger("kombu").setLevel(logging.CRITICAL)
    app = Celery("cvq-doctor", broker=broker.celery_url(), set_as_current=False)
    app.conf.update(
        control_exchange="cvq",  # as `cvq_workers.app` has it
        accept_content=["json"],
        broker_connection_retry=False,
        broker_transport_options={
            "socket_timeout": _SOCKET_S,
            "socket_connect_timeout": CONNECT_TIMEOUT_S,
            "socket_keepalive": True,
            "socket_keepalive_options": keepalive_options(),
        },
    )
    try:
        answers: Mapping[str, Any] | None = app.control.inspect(timeout=_PATIENCE_S).stats()
    finally:
        app.close()
    return {
        Listener(node.rpartition("@")[2], said["pid"])
        for node, said in (answers or {}).items()
        if isinstance(said, Mapping) and isinstance(said.get("pid"), int)
    }
