"""Which jobs have just ended, told to whoever waits: it saves asking, and is never relied on."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import BrokerError
from .queue import Broker

CHANNEL = "cvq.ended"


def announce(broker: Broker, job_ids: Iterable[int]) -> None:
    """Say that jobs have ended.

    Raises:
        BrokerError: Redis does not answer; those who wait look for themselves.
    """
    broker.publish(CHANNEL, json.dumps(list(job_ids)))


class Listener:
    """Hears which jobs have ended, from the moment when it was made."""

    def __init__(self, subscription: Any) -> None:
        self._subscription = subscription

    def wait(self, job_ids: Collection[int], seconds: float) -> None:
        """Wait until one of these jobs is said to have ended, or for so many seconds."""
        if self._subscription is None:
            time.sleep(seconds)
            return
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                message = self._subscription.get_message(timeout=left)
            except Exception:  # Redis has gone: whoever waits looks by itself
                time.sleep(left)
                return
            if message and message.get("type") == "message" and _names(message, job_ids):
                return


def _names(message: dict[str, Any], job_ids: Collection[int]) -> bool:
    """Whether a message names one of these jobs; anybody may write any message."""
    try:
        named = json.loads(message["data"])
        return isinstance(named, list) and any(each in job_ids for each in named)
    except (ValueError, TypeError):
        return False


@contextmanager
def listening(broker: Broker) -> Iterator[Listener]:
    """Hear which jobs end within the block; nothing, where Redis does not answer."""
    subscription: Any = None
    with contextlib.suppress(BrokerError):
        subscription = broker.subscribe(CHANNEL)
    try:
        yield Listener(subscription)
    finally:
        if subscription is not None:
            with contextlib.suppress(Exception):
                subscription.close()
