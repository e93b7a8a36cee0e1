"""What `cvq doctor --fix` does about what was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .. import presence, queries, schema
from ..broker.embedded import ensure_redis, stop_redis
from ..lifecycle.workers import forget
from ..text import count
from .setup import Setup


@dataclass(frozen=True)
class Remedy:
    """What can be done about a finding.

    Attributes:
        would: what it does, to be asked: `upgrade the schema of the database`.
        safe: whether it may be done without being asked: it takes nothing from anybody.
        act: does it, and returns what was done.
    """

    would: str
    safe: Callable[[Setup], bool]
    act: Callable[[Setup], str]


def _always(_setup: Setup) -> bool:
    return True


def _never(_setup: Setup) -> bool:
    return False


def _nobody_works(setup: Setup) -> bool:
    """Whether no worker could be surprised by another schema."""
    if schema.current(setup.db) is None:
        return True
    from sqlalchemy import text

    with setup.db.read() as connection:  # of whatever version it is
        seen = "SELECT count(*) FROM workers WHERE state <> 'gone'"
        return not connection.scalar(text(seen))


def _upgrade(setup: Setup) -> str:
    before = schema.current(setup.db)
    schema.upgrade(setup.db)
    return f"{setup.db} was upgraded from {before or 'nothing'} to {schema.current(setup.db)}"


def _sweep(setup: Setup) -> str:
    return f"{count(presence.sweep(setup.settings.home), 'folder')} of dead workers removed"


def _forget(setup: Setup) -> str:
    with setup.db.write() as connection:
        silent = [each.id for each in queries.workers(connection) if not each.alive]
        forgotten = forget(connection, silent)
    return f"{count(forgotten, 'silent worker')} taken off the list"


def _restart_redis(setup: Setup) -> str:
    stop_redis(setup.settings.home)
    ensure_redis(setup.settings.home)
    return "the embedded Redis was started anew"


def _close_home(setup: Setup) -> str:
    home = setup.settings.home
    home.chmod(home.stat().st_mode & 0o700)
    return f"{home} is closed to others"


def _stop_evictions(setup: Setup) -> str:
    setup.broker.connect().config_set("maxmemory-policy", "noeviction")
    return f"{setup.broker} keeps what is in it until its next start; put it into its redis.conf"


REMEDIES = {
    "upgrade-schema": Remedy("upgrade the database's schema", _nobody_works, _upgrade),
    "sweep-folders": Remedy("remove the folders of dead workers", _always, _sweep),
    "forget-silent": Remedy("take silent workers off the list", _always, _forget),
    "restart-redis": Remedy("start the embedded Redis anew", _always, _restart_redis),
    "close-home": Remedy("close the home folder to other users", _never, _close_home),
    "stop-evictions": Remedy("tell Redis to remove no keys", _never, _stop_evictions),
}
