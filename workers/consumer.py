"""How a worker is woken up: Celery on a Redis that may say anything.

The broker may be shared with strangers, be full, frozen, or the replica of another. A message is
only a wake-up, so nothing of what lies on a queue is looked at: each message counts once, whatever
it holds. What cannot be understood otherwise is told and dropped, and where Celery itself
stumbles, its consumer begins anew. Jobs run without all of this, a second or two later.
"""

from __future__ import annotations

import logging
import time
from queue import Empty
from typing import Any

import redis
from celery.concurrency.thread import TaskPool
from celery.worker import consumer
from celery.worker.control import Panel
from kombu.asynchronous import get_event_loop
from kombu.transport import redis as kombu_redis
from redis.exceptions import ResponseError

from cvq.broker.queue import PREFIX, TASK, wakeup_message

log = logging.getLogger("cvq.consumer")

_PAUSE_S = 1.0  # between two tries where Redis refuses
# What a broker may make say the same again and again.
TALKATIVE = ("celery", "kombu", log.name)
# What `celery inspect` and Flower ask for. Nothing that changes a worker: cvq has `cvq drain`.
REMOTE_COMMANDS = {
    "ping", "stats", "active", "reserved", "scheduled", "revoked", "registered", "active_queues",
    "conf", "query_task", "clock", "enable_events", "disable_events", "heartbeat",
}  # fmt: skip


class Consumer(consumer.Consumer):
    """Celery's consumer, which begins anew after any error, and takes no orders from Redis."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connection_errors = (Exception,)
        for name in set(Panel.data) - REMOTE_COMMANDS:
            del Panel.data[name]

    def connection_for_read(self, heartbeat: float | None = None) -> Any:
        """The connection on which messages come."""
        connection = self.app.connection_for_read(heartbeat=heartbeat)
        connection.transport_cls = Transport  # the URL's scheme has named Kombu's own
        connection.as_uri = self.conninfo.as_uri
        connection.info = self.conninfo.info  # which `inspect stats` sends, and a class is no JSON
        return self.ensure_connected(connection)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Clean up; what comes again at once is not tried again at once."""
        super().on_connection_error_after_connected(exc)
        time.sleep(_PAUSE_S)


class Pool(TaskPool):
    """Threads, one for each slot.

    A worker without prefetch asks for its next message when its event loop turns, and nothing
    turns it when a slot falls free: that alone would cost up to a second.
    """

    def on_apply(self, *args: Any, **kwargs: Any) -> Any:
        """Run a task, and turn the event loop after it."""
        result = super().on_apply(*args, **kwargs)
        result.f.add_done_callback(_turn)
        return result


def _turn(_: object) -> None:
    if (hub := get_event_loop()) is not None:
        hub.call_soon(lambda: None)


class _Redis(redis.Redis):
    """Takes whatever lies on one of cvq's queues for a wake-up."""

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        """What the server answers; a wake-up of our own in the place of any message."""
        if command_name != "BRPOP":
            return super().parse_response(connection, command_name, **options)
        try:
            found = super().parse_response(connection, command_name, **options)
        except ResponseError as error:  # a replica, a key of another type, a user without rights
            log.warning("Redis gives no messages (%s); jobs go on without them", error)
            time.sleep(_PAUSE_S)
            return None
        if not found:
            return found
        name, message = found
        if TASK.encode() not in message:
            log.warning("a message on %s is not cvq's: it is taken for a wake-up", _text(name))
        return name, wakeup_message(_text(name).removeprefix(PREFIX))


class Channel(kombu_redis.Channel):
    """Kombu's channel, which drops a broadcast that it cannot read."""

    def _get_client(self) -> type[redis.Redis]:
        super()._get_client()  # which checks the version
        return _Redis

    def close(self) -> None:
        """Close without waiting for the answer to what was asked last: a message may be lost."""
        self._in_poll = False
        super().close()

    def _receive_one(self, c: Any) -> Any:
        try:
            return super()._receive_one(c)
        except (*self.connection_errors, Empty):
            raise
        except Exception as error:
            log.warning("a broadcast in Redis could not be read: %r", error)
            raise Empty from error


class Transport(kombu_redis.Transport):
    """Kombu's Redis transport with the channel above, asking for a message less often."""

    brpop_timeout = 10

    Channel = Channel


def _text(name: bytes | str) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else name
