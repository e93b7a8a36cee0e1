"""What the parts of a worker share."""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_fixed,
)

from cvq import schema
from cvq.artifacts import ArtifactStore, open_store
from cvq.broker.queue import Broker
from cvq.db import Database
from cvq.devices import Slot
from cvq.errors import DatabaseAwayError
from cvq.lifecycle import workers
from cvq.settings import Settings

from .departure import Departure
from .slots import Attempts, Slots
from .tally import Tally
from .versions import packages

log = logging.getLogger("cvq.worker")

_AGAIN_S = 1.0  # how soon a database that is away is asked again


class Worker:
    """Who a worker is, what it uses, its slots and attempts, and how far it is on its way out.

    Attributes:
        queues: what is served, the best job of all of them first.
        heard_at: when the database has answered the heartbeat last, by the monotonic clock.
    """

    def __init__(self, settings: Settings, slots: list[Slot], queues: list[str]) -> None:
        self.settings = settings
        self.queues = queues
        self.id = f"{settings.host}.{os.getpid()}.{secrets.token_hex(2)}"
        self.broker = Broker(settings)
        self.slots = Slots(slots)
        self.attempts = Attempts(settings.grace)
        self.departure = Departure()
        self.tally = Tally()
        self.heard_at = time.monotonic()

    @cached_property
    def db(self) -> Database:
        """The database, its schema checked; one that restarts is waited for."""
        database = Database(self.settings)
        self.when_up(lambda: schema.ensure(database))
        return database

    @cached_property
    def artifacts(self) -> ArtifactStore:
        """The artifact store."""
        return open_store(self.settings)

    @property
    def versions(self) -> dict[str, str]:
        """What a result may depend on, as far as it is the same for all slots."""
        return packages()

    def register(self, kinds: dict[str, Any]) -> None:
        """Enter the worker in the database, with the kinds that it announces."""
        with self.db.write() as connection:
            workers.register(
                connection,
                id=self.id,
                host=self.settings.host,
                pid=os.getpid(),
                devices=[slot.device for slot in self.slots],
                queues=self.queues,
                slots=len(self.slots),
                versions=self.versions,
                lease=self.settings.lease,
                kinds=kinds,
            )

    def when_up(self, act: Callable[[], None]) -> None:
        """Do something that needs the database; one that is away for now is waited for.

        Raises:
            DatabaseError: it refuses, or the worker is to leave before it is back.
        """
        Retrying(
            retry=retry_if_exception_type(DatabaseAwayError),
            wait=wait_fixed(_AGAIN_S),
            sleep=sleep_using_event(self.departure.asked),
            stop=stop_when_event_set(self.departure.asked),
            after=_warn_of_waiting,
            reraise=True,
        )(act)


def _warn_of_waiting(state: RetryCallState) -> None:
    assert state.outcome is not None
    log.warning("%s; the worker waits for it", state.outcome.exception())
