"""The doorbell: a Celery message that says 'there is work on this queue'.

The database is the truth. A doorbell that is lost, doubled or late changes nothing but the
waiting time. It is written to Redis directly in Celery's message protocol 2, because importing
Celery would cost every `cvq submit` a quarter of a second.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .embedded import ensure_redis
from .errors import BrokerError
from .settings import Settings

if TYPE_CHECKING:
    import redis

TASK = "cvq.work"
_TIMEOUT_S = 5.0
_EPOCH = "cvq.epoch"
PREFIX = "cvq."  # cvq's queues stay apart from another application's on the same Redis


def broker_queue(queue: str) -> str:
    """The name of a queue at the broker."""
    return PREFIX + queue


class Broker:
    """Rings doorbells and counts them, on the embedded Redis or on a server."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.embedded = settings.broker_url is None
        self._client: redis.Redis | None = None

    def __str__(self) -> str:
        if self.settings.broker_url is None:
            return "the embedded Redis"
        # By hand: what a parser makes of a password with a slash could show half of it.
        scheme, _, rest = self.settings.broker_url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"

    def connect(self) -> redis.Redis:
        """A client whose server has just answered; the embedded server is started if need be.

        Raises:
            BrokerError: the server does not answer.
        """
        import redis

        if self._client is not None:
            try:
                self._client.ping()
                return self._client
            except redis.RedisError:  # gone since the last time, and perhaps back
                self._client.close()
                self._client = None
        self._client = self._open()
        return self._client

    def celery_url(self) -> str:
        """The broker URL for Celery; the embedded server is started if need be."""
        if self.settings.broker_url is not None:
            url = self.settings.broker_url
            if url.startswith("unix://"):  # which Celery spells in its own way
                url = url.replace("unix:", "redis+socket:", 1).replace("?db=", "?virtual_host=")
            return url
        path = quote(str(ensure_redis(self.settings.home)))  # a home may be called a#b%20;c?d
        return f"redis+socket://{path}"

    def ring(self, queue: str, times: int = 1) -> None:
        """Send doorbells to a queue, all in one trip.

        Raises:
            BrokerError: Redis does not answer; the jobs stay safe in the database.
        """
        import redis

        if times < 1:
            return
        try:
            name = broker_queue(queue)
            self.connect().lpush(name, *(doorbell(queue) for _ in range(times)))
        except redis.RedisError as error:
            raise BrokerError(f"{self} does not answer ({error})") from error

    def lengths(self, queues: list[str]) -> dict[str, int]:
        """How many doorbells wait on each queue.

        Raises:
            BrokerError: Redis does not answer.
        """
        import redis

        try:
            pipeline = self.connect().pipeline(transaction=False)
            for queue in queues:
                pipeline.llen(broker_queue(queue))
            return dict(zip(queues, pipeline.execute(), strict=True))
        except redis.RedisError as error:
            raise BrokerError(f"{self} does not answer ({error})") from error

    def epoch(self) -> str:
        """A word that is another one once Redis has lost its memory, and all doorbells with it.

        Raises:
            BrokerError: Redis does not answer.
        """
        import redis

        try:
            pipeline = self.connect().pipeline(transaction=False)
            pipeline.set(_EPOCH, uuid.uuid4().hex, nx=True)
            pipeline.get(_EPOCH)
            return bytes(pipeline.execute()[1] or b"").decode()
        except redis.RedisError as error:
            raise BrokerError(f"{self} does not answer ({error})") from error

    def _open(self) -> redis.Redis:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        # By default a dead server is tried for three seconds, and a frozen one never given up.
        once: Any = {"retry": Retry(NoBackoff(), 1), "socket_timeout": _TIMEOUT_S}
        if self.settings.broker_url is None:
            path = ensure_redis(self.settings.home)
            client = redis.Redis(unix_socket_path=str(path), **once)
        else:
            try:
                client = redis.Redis.from_url(
                    self.settings.broker_url, socket_connect_timeout=3, **once
                )
            except ValueError:  # its message could show a part of the password
                raise BrokerError(
                    "CVQ_BROKER_URL is not a Redis URL: give redis://[:password@]host:6379/0 "
                    "(in the password, write / as %2F and @ as %40)"
                ) from None
        try:
            client.ping()
        except redis.RedisError as error:
            client.close()
            advice = "start it, or unset CVQ_BROKER_URL to use the embedded one"
            raise BrokerError(f"Redis at {self} does not answer ({error}): {advice}") from error
        return client


def doorbell(queue: str) -> str:
    """A task message for a queue, protocol 2, as kombu's Redis transport stores it."""
    task_id = str(uuid.uuid4())
    args = [queue]
    body = json.dumps(
        [args, {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    )
    return json.dumps(
        {
            "body": base64.b64encode(body.encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {
                "lang": "py",
                "task": TASK,
                "id": task_id,
                "root_id": task_id,
                "parent_id": None,
                "group": None,
                "eta": None,
                "expires": None,
                "retries": 0,
                "timelimit": [None, None],
                "argsrepr": repr(args),
                "kwargsrepr": "{}",
                "origin": f"{os.getpid()}@{socket.gethostname()}",
                "ignore_result": True,
            },
            "properties": {
                "correlation_id": task_id,
                "reply_to": "",
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": broker_queue(queue)},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid.uuid4()),
            },
        }
    )
