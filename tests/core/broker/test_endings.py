"""Who waits for a job hears of its end, and of nothing else."""

from __future__ import annotations

import threading

import pytest

from cvq import Client
from cvq.broker.endings import CHANNEL, Listener, announce, listening
from cvq.broker.queue import Broker
from cvq.errors import BrokerError
from waiting import HANG_S


def test_who_listens_hears_of_its_job(client: Client) -> None:
    heard = threading.Event()
    begun = threading.Event()

    def wait() -> None:
        with listening(Broker(client.settings)) as listener:
            begun.set()
            listener.wait([7], HANG_S)
            heard.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert begun.wait(HANG_S)
    for message in ("", "nonsense", "[]", '{"7": 7}', "[8, null]", "7", "\\xff"):
        client.broker.publish(CHANNEL, message)
    assert not heard.is_set()
    announce(client.broker, [6, 7])
    assert heard.wait(HANG_S)
    thread.join()


def test_who_listens_to_nobody_waits_for_its_time(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("cvq.broker.endings.time.sleep", slept.append)

    def refuse(_channel: str) -> None:
        raise BrokerError("gone")

    monkeypatch.setattr(client.broker, "subscribe", refuse)
    with listening(client.broker) as listener:
        listener.wait([7], 0.25)
    assert slept == [0.25]


def test_a_redis_that_goes_while_somebody_listens_is_waited_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("cvq.broker.endings.time.sleep", slept.append)

    class Gone:
        def get_message(self, timeout: float) -> None:
            raise ConnectionError

    Listener(Gone()).wait([7], 0.25)
    assert len(slept) == 1
