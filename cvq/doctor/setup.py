"""What is examined: the settings, and what they lead to, opened when a check first asks for it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..artifacts import ArtifactStore, open_store
from ..broker.queue import Broker
from ..db import Database
from ..once import once
from ..settings import Settings


@dataclass(eq=False)
class Setup:
    """A set-up of cvq on this machine.

    Attributes:
        settings: where everything is.
        environ: the variables of the environment.
        clock: this machine's, in seconds since 1970.
        failed: the checks that have found a problem so far.
    """

    settings: Settings
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    clock: Callable[[], float] = time.time
    failed: set[str] = field(default_factory=set)

    @once
    def db(self) -> Database:
        """The database as it is: to look at it makes and upgrades nothing."""
        return Database(self.settings)

    @once
    def broker(self) -> Broker:
        """Redis."""
        return Broker(self.settings)

    @once
    def store(self) -> ArtifactStore:
        """The artifact store."""
        return open_store(self.settings)

    def close(self) -> None:
        """Give back what was opened."""
        if "db" in self.__dict__:
            self.db.engine.dispose()
        if "broker" in self.__dict__:
            self.broker.close()
