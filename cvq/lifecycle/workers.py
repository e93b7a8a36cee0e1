"""A worker's life in the database: it registers, is heard of, is asked to leave, and has left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert, update

from .. import tables as t
from ..states import Drain, WorkerState
from ..tables import now
from .values import fit


def register(connection: Connection, **columns: Any) -> None:
    """Enter a worker; `columns` are those of the table `workers` but times and state."""
    fitted = fit(t.workers, **columns)
    connection.execute(
        insert(t.workers).values(**fitted, started_at=now(), seen_at=now(), state=WorkerState.UP)
    )


def heartbeat(connection: Connection, worker: str, state: WorkerState) -> Drain | None:
    """Note that a worker is alive, and whether it is `up` or `draining`.

    Returns:
        how somebody wants it to leave (see `ask_to_drain`), or None.
    """
    rows = connection.execute(
        update(t.workers)
        .where(t.workers.c.id == worker)
        .values(seen_at=now(), state=state)
        .returning(t.workers.c.drain)
    ).all()
    how = rows[0].drain if rows else None
    if how is None:
        return None
    return Drain.FINISH if how == Drain.FINISH else Drain.STOP


def forget(connection: Connection, workers: Sequence[str]) -> int:
    """Note of workers that they are gone; return of how many that was new.

    One that was merely cut off is up again at its next heartbeat.
    """
    left = update(t.workers).where(
        t.workers.c.id.in_(workers), t.workers.c.state != WorkerState.GONE
    )
    return connection.execute(left.values(state=WorkerState.GONE)).rowcount


def ask_to_drain(connection: Connection, worker: str, how: Drain) -> None:
    """Ask a worker to leave: to `stop` its jobs, or to `finish` them first."""
    connection.execute(update(t.workers).where(t.workers.c.id == worker).values(drain=how))


def deregister(connection: Connection, worker: str) -> None:
    """Note that a worker has stopped in good order."""
    heartbeat(connection, worker, WorkerState.GONE)
