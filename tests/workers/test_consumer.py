"""A worker on a Redis that says anything: it goes on, and takes orders from nobody."""

from __future__ import annotations

import base64
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import redis
from celery import Celery

from conftest import Worker
from cvq import Client
from cvq.broker.queue import wakeup_message
from waiting import HANG_S, eventually

QUEUE = "cvq.default"


class Boom:
    """What a pickle could do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was opened",))


def message(headers: dict[str, Any] | None = None, **parts: Any) -> str:
    made = json.loads(wakeup_message("default")) | parts
    made["headers"] |= headers or {}
    return json.dumps(made)


def encoded(body: bytes) -> str:
    return base64.b64encode(body).decode()


PICKLE = {"content-type": "application/x-python-serialize", "content-encoding": "binary"}
MESSAGES = {
    "no JSON": "garbage",
    "no text": b"\xff\xfe\x00",
    "nothing": "",
    "a list": "[1, 2, 3]",
    "a number": "7",
    "no properties": "{}",
    "a pickle": message(body=encoded(pickle.dumps(Boom())), **PICKLE),
    "YAML": message(body=encoded(b"!!python/object:x"), **{"content-type": "application/x-yaml"}),
    "another task": message({"task": "os.system"}),
    "odd arguments": message(body=encoded(b"[[1, 2, 3], {}, {}]")),
    "no base64": message(body="%%%"),
    "a far time": message({"eta": "2199-01-01T00:00:00"}),
    "no time": message({"eta": "garbage", "expires": {"a": 1}}),
    "odd limits": message({"timelimit": [0.001, "x"]}),
    "no name": message({"id": None, "lang": None}),
}


@pytest.fixture
def server(client: Client) -> redis.Redis:
    return client.broker.connect()


@pytest.fixture
def works(client: Client, start_worker: Callable[..., Worker]) -> Callable[[str], None]:
    """Asserts that the worker is there and runs a job."""
    worker = start_worker()

    def check(after: str) -> None:
        job = client.submit("selftest").wait(HANG_S)
        assert job.state == "succeeded", after
        assert worker.process.poll() is None, after

    check("the start")
    return check


def test_no_message_on_a_queue_harms_a_worker(
    server: redis.Redis, works: Callable[[str], None]
) -> None:
    for what, said in MESSAGES.items():
        server.lpush(QUEUE, said)
        eventually(lambda: server.llen(QUEUE) == 0, what=f"{what} to be taken")
        works(what)


def test_no_broadcast_harms_a_worker(server: redis.Redis, works: Callable[[str], None]) -> None:
    channels = [name.decode() for name in server.execute_command("PUBSUB", "CHANNELS", "*")]
    patterns = ["/0.cvq.pidbox", "/0.celery.pidbox", *channels]
    orders = [
        {"method": "shutdown"}, {"method": "pool_shrink", "arguments": {"n": 9}},
        {"method": "cancel_consumer", "arguments": {"queue": QUEUE}}, {"method": ["x"]}, [1, 2],
    ]  # fmt: skip
    for channel in patterns:
        for said in ("garbage", "[1, 2]", "{}", "7", b"\xff"):
            server.publish(channel, said)
        for order in orders:
            body = encoded(json.dumps(order).encode())
            server.publish(channel, message({"clock": "x"}, body=body))
    works("broadcasts")


def test_keys_of_another_type_are_set_aside(
    server: redis.Redis, works: Callable[[str], None]
) -> None:
    server.delete(QUEUE, "cvq.epoch", "_kombu.binding.cvq.pidbox", "_kombu.binding.cvq")
    server.set(QUEUE, "a stranger's")
    server.lpush("cvq.epoch", "a stranger's")
    server.set("_kombu.binding.cvq.pidbox", "x")
    server.sadd("_kombu.binding.cvq", "a", "b\x06\x16")
    works("keys of another type")
    works("keys of another type, again")
    eventually(lambda: server.exists(f"{QUEUE}.aside", "cvq.epoch.aside") == 2)
    assert server.get(f"{QUEUE}.aside") == b"a stranger's"


def test_a_replica_holds_up_no_job(server: redis.Redis, works: Callable[[str], None]) -> None:
    server.execute_command("REPLICAOF", "127.0.0.1", "1")
    with pytest.warns(UserWarning, match="is queued, but"):
        works("the server turned replica")
    server.execute_command("REPLICAOF", "NO", "ONE")
    works("the server is itself again")


def test_another_applications_orders_are_not_heard(
    client: Client, works: Callable[[str], None]
) -> None:
    other = Celery("another", broker=client.broker.celery_url(), set_as_current=False)
    assert other.control.ping(timeout=1) == []
    other.control.broadcast("shutdown")
    other.close()
    works("another application's shutdown")


def test_what_a_broker_makes_celery_say_is_said_ever_more_rarely(
    server: redis.Redis, start_worker: Callable[..., Worker]
) -> None:
    worker = start_worker()
    for _ in range(20):
        server.lpush(QUEUE, "garbage")
    eventually(lambda: server.llen(QUEUE) == 0)
    told = f"a message on {QUEUE} is not cvq's"
    eventually(lambda: told in worker.log.read_text())
    assert worker.log.read_text().count(told) < 5
