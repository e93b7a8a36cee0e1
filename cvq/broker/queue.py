"""The wake-up message: a Celery message that says 'there is work on this queue'.

The database is the truth. A message that is lost, doubled or late changes nothing but the
waiting time. It is written to Redis directly in Celery's message protocol 2, because importing
Celery would cost every `cvq submit` a quarter of a second.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import quote

from ..errors import BrokerError, BrokerTimeoutError
from ..settings import Settings, without_secrets
from ..text import exactly
from .embedded import ensure_redis, redis_answers

if TYPE_CHECKING:
    import redis

T = TypeVar("T")

log = logging.getLogger("cvq.broker.queue")

TASK = "cvq.work"
CONNECT_TIMEOUT_S = 3.0
_TIMEOUT_S = 5.0
# TCP_USER_TIMEOUT is in milliseconds, and Linux's alone.
_KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000}
_EPOCH = "cvq.epoch"
PREFIX = "cvq."  # cvq's queues stay apart from another application's on the same Redis


def broker_queue(queue: str) -> str:
    """The name of a queue at the broker."""
    return PREFIX + queue


class Broker:
    """Sends wake-up messages and counts them, on the embedded Redis or on a server."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.embedded = settings.broker_url is None
        self._client: redis.Redis | None = None
        self._connecting = threading.Lock()  # two threads would open two, and close one

    def __str__(self) -> str:
        if self.settings.broker_url is None:
            return "the embedded Redis"
        # By hand: what a parser makes of a password with a slash could show half of it.
        scheme, _, rest = self.settings.broker_url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"

    def connect(self) -> redis.Redis:
        """A client whose server has just answered; the embedded server is started if need be.

        Raises:
            BrokerTimeoutError: the server is there, and does not answer in time.
            BrokerError: there is none, or it refuses.
        """
        with self._connecting:
            return self._connected()

    def _connected(self) -> redis.Redis:
        if self._client is not None:
            try:
                self._ask(self._client.ping)
                return self._client
            except Exception:  # gone since the last time, and perhaps back
                self._drop()
        self._client = self._open()
        try:
            self._ask(self._client.ping)
        except Exception as error:
            self._drop()
            raise self._failure(error) from error
        return self._client

    def is_stopped(self) -> bool:
        """Whether the embedded server is not running; it is not started by asking."""
        return self.embedded and not redis_answers(self.settings.home)

    def celery_url(self) -> str:
        """The broker URL for Celery; the embedded server is started if need be."""
        if self.settings.broker_url is not None:
            url = self.settings.broker_url
            if url.startswith("unix://"):  # which Celery spells in its own way
                url = url.replace("unix:", "redis+socket:", 1).replace("?db=", "?virtual_host=")
            return url
        path = quote(str(ensure_redis(self.settings.home)))  # a home may be called a#b%20;c?d
        return f"redis+socket://{path}"

    def close(self) -> None:
        """Give the connection back; the next use opens one anew."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def notify(self, queue: str, times: int = 1) -> None:
        """Send wake-up messages to a queue, all in one trip.

        Raises:
            BrokerError: Redis does not answer; the jobs stay safe in the database.
        """
        if times < 1:
            return
        name = broker_queue(queue)
        messages = [wakeup_message(queue) for _ in range(times)]
        self._do(lambda client: client.lpush(name, *messages), {name: "list"})

    def publish(self, channel: str, message: str) -> None:
        """Say something to whoever listens now.

        Raises:
            BrokerError: Redis does not answer.
        """
        self._do(lambda client: client.publish(channel, message), {})

    def subscribe(self, channel: str) -> Any:
        """A subscription of redis-py's to a channel, which has begun.

        Raises:
            BrokerError: Redis does not answer.
        """

        def begin(client: redis.Redis) -> Any:
            subscription: Any = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
            subscription.subscribe(channel)
            subscription.get_message(timeout=_TIMEOUT_S)  # that it has begun
            return subscription

        return self._do(begin, {})

    def lengths(self, queues: list[str]) -> dict[str, int]:
        """How many messages wait on each queue.

        Raises:
            BrokerError: Redis does not answer.
        """

        def look(client: redis.Redis) -> dict[str, int]:
            pipeline = client.pipeline(transaction=False)
            for queue in queues:
                pipeline.llen(broker_queue(queue))
            return dict(zip(queues, pipeline.execute(), strict=True))

        return self._do(look, {broker_queue(queue): "list" for queue in queues})

    def epoch(self) -> str:
        """A word that is another one once Redis has lost its memory, and all messages with it.

        Raises:
            BrokerError: Redis does not answer.
        """

        def look(client: redis.Redis) -> str:
            pipeline = client.pipeline(transaction=False)
            pipeline.set(_EPOCH, uuid.uuid4().hex, nx=True)
            pipeline.get(_EPOCH)
            return bytes(pipeline.execute()[1] or b"").decode(errors="replace")

        return self._do(look, {_EPOCH: "string"})

    def _do(self, act: Callable[[redis.Redis], T], types: dict[str, str]) -> T:
        """Ask Redis for something; a key of another type that is in the way is set aside.

        The server may have gone since the last time, and perhaps be back: the second try connects
        anew. A message that was sent twice by that changes nothing.
        """
        if (known := self._client) is not None:
            with contextlib.suppress(Exception):
                return self._ask(lambda: act(known))
        client = self.connect()
        try:
            try:
                return self._ask(lambda: act(client))
            except Exception as error:
                if "WRONGTYPE" not in str(error):
                    raise
                self._ask(lambda: _set_aside(client, types))
                return self._ask(lambda: act(client))
        except Exception as error:
            raise self._failure(error) from error

    def _ask(self, act: Callable[[], T]) -> T:
        """Do something with Redis, or give it up after a few seconds altogether.

        Not by the socket's timeout alone, which begins anew with each byte of an answer.
        """
        answers: SimpleQueue[tuple[T, None] | tuple[None, Exception]] = SimpleQueue()

        def run() -> None:
            try:
                answers.put((act(), None))
            except Exception as error:
                answers.put((None, error))

        threading.Thread(target=run, name="cvq-redis", daemon=True).start()
        try:
            answer, error = answers.get(timeout=_TIMEOUT_S)
        except Empty:
            self._drop()  # which ends the thread as well
            raise TimeoutError(f"no answer within {exactly(_TIMEOUT_S)}") from None
        if error is not None:
            raise error
        return cast(T, answer)

    def _drop(self) -> None:
        if self._client is not None:
            with contextlib.suppress(Exception):
                self._client.close()
                self._client.connection_pool.disconnect()
        self._client = None

    def _failure(self, error: Exception) -> BrokerError:
        """What to tell of an error: a broker may raise any, and its driver too."""
        import redis

        said = str(error).strip().partition("\n")[0] or type(error).__name__
        said = without_secrets(said, self.settings.broker_url)
        told = f"{self if self.embedded else f'Redis at {self}'} does not answer ({said})"
        if isinstance(error, redis.TimeoutError | TimeoutError):
            return BrokerTimeoutError(told)
        if not isinstance(error, redis.ResponseError):
            told += ": start it, or unset CVQ_BROKER_URL to use the embedded one"
        return BrokerError(told)

    def _open(self) -> redis.Redis:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        # By default a dead server is tried for three seconds, and a frozen one never given up.
        retry = Retry(NoBackoff(), 1)
        url = self.settings.broker_url
        if url is None:
            path = str(ensure_redis(self.settings.home))
            return redis.Redis(unix_socket_path=path, retry=retry, socket_timeout=_TIMEOUT_S)
        over_tcp: dict[str, Any] = {
            "socket_connect_timeout": CONNECT_TIMEOUT_S,
            "socket_keepalive": True,
            "socket_keepalive_options": keepalive_options(),
        }
        more = {} if url.startswith("unix:") else over_tcp
        try:
            return redis.Redis.from_url(url, retry=retry, socket_timeout=_TIMEOUT_S, **more)
        except ValueError:  # its message could show a part of the password
            raise BrokerError(
                "CVQ_BROKER_URL is not a Redis URL: give redis://[:password@]host:6379/0 "
                "(in the password, write / as %2F and @ as %40)"
            ) from None


def keepalive_options() -> dict[int, int]:
    """Socket options by which a connection that was cut off is given up within half a minute."""
    return {
        getattr(socket, name): value for name, value in _KEEPALIVE.items() if hasattr(socket, name)
    }


def _set_aside(client: redis.Redis, types: dict[str, str]) -> None:
    for name, wanted in types.items():
        found = cast(bytes, client.type(name)).decode()
        if found not in (wanted, "none"):
            asides = (f"{name}.aside{f'-{n}' if n > 1 else ''}" for n in itertools.count(1))
            aside = next(free for free in asides if client.renamenx(name, free))
            log.warning(
                "Redis had a %s at %s, where cvq keeps a %s: it is now called %s",
                found, name, wanted, aside,
            )  # fmt: skip


def wakeup_message(queue: str) -> str:
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
