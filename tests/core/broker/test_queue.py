"""The wake-up is a Celery message, byte for byte where it matters."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from conftest import close
from cvq import Client, Settings
from cvq.broker.embedded import stop_redis
from cvq.broker.queue import TASK, Broker, broker_queue
from cvq.errors import BrokerError
from cvq.ids import AttemptId


def pop(client: Client, queue: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(client.broker.connect().rpop(broker_queue(queue)))
    return found


def test_a_message_has_the_shape_that_celery_sends(client: Client) -> None:
    client.broker.notify("default")
    ours = pop(client, "default")
    app = Celery(broker=client.broker.celery_url(), set_as_current=False)
    app.conf.update(task_serializer="json", accept_content=["json"])
    with app.connection_for_write() as connection:
        app.send_task(
            TASK, ["default"], queue=broker_queue("default"), connection=connection,
            ignore_result=True,
        )  # fmt: skip
    theirs = pop(client, "default")
    app.close()
    assert ours.keys() == theirs.keys()
    needed = {"lang", "task", "id", "root_id", "parent_id", "group", "retries", "timelimit"}
    assert needed <= ours["headers"].keys()
    assert ours["headers"].keys() <= theirs["headers"].keys()
    assert ours["properties"].keys() == theirs["properties"].keys()
    for name in ("content-type", "content-encoding"):
        assert ours[name] == theirs[name]
    bodies = [json.loads(base64.b64decode(message["body"])) for message in (ours, theirs)]
    assert bodies[0] == bodies[1]
    fixed = ("lang", "task", "argsrepr", "kwargsrepr", "retries", "timelimit", "ignore_result")
    assert {name: ours["headers"][name] for name in fixed} == {
        name: theirs["headers"][name] for name in fixed
    }


def test_many_messages_are_counted_by_queue(client: Client) -> None:
    client.broker.notify("default", 3)
    client.broker.notify("gpu")
    assert client.broker.lengths(["default", "gpu", "none"]) == {"default": 3, "gpu": 1, "none": 0}


def test_every_message_has_an_identity_of_its_own(client: Client) -> None:
    client.broker.notify("default", 2)
    first, second = pop(client, "default"), pop(client, "default")
    assert first["headers"]["id"] != second["headers"]["id"]
    assert first["properties"]["delivery_tag"] != second["properties"]["delivery_tag"]


@pytest.mark.parametrize(
    "url", ["redis://:hunter2@127.0.0.1:1/0", "redis://u:hunter2@localhost:1"]
)
def test_a_dead_redis_is_named_without_its_password(url: str) -> None:
    broker = Broker(Settings.load(broker_url=url))
    with pytest.raises(BrokerError, match="does not answer") as caught:
        broker.connect()
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in str(broker)
    assert caught.value.exit_code == 4


def test_what_is_no_redis_url_is_said_so() -> None:
    with pytest.raises(BrokerError, match="not a Redis URL"):
        Broker(Settings.load(broker_url="http://example.org")).connect()


@pytest.mark.parametrize(
    "name", ["a#b", "a%20b", "a;b", "q?x=1", "sp ace", "new\nline", "größe-日本", "co::lon", "[*]"]
)
def test_a_home_may_be_called_anything(home: Path, name: str) -> None:
    client = Client(Settings.load(home=home / name))
    handle = client.submit("selftest")
    app = Celery(broker=client.broker.celery_url(), set_as_current=False)
    with app.connection_for_read() as connection:
        assert connection.default_channel.client.llen(broker_queue("default")) == 1
    app.close()
    result = client.settings.home / "result"
    result.write_text("done")
    made = client.artifacts.put_artifact(AttemptId(handle.id, 1), result, name="r", role="result")
    assert client.artifacts.fetch(made, home / "fetched").read_text() == "done"
    assert (client.settings.home / "store/jobs/1/1/r").exists()
    close(client)
    stop_redis(client.settings.home)


def test_nothing_that_was_set_aside_is_overwritten(client: Client) -> None:
    redis = client.broker.connect()
    for said in ("first", "second", "third"):
        redis.delete("cvq.default")
        redis.set("cvq.default", said)
        client.broker.notify("default")
    names = ["cvq.default.aside", "cvq.default.aside-2", "cvq.default.aside-3"]
    assert redis.mget(names) == [b"first", b"second", b"third"]
    assert client.broker.lengths(["default"]) == {"default": 1}
