"""A sweep's life: entered with its trials, driven by one process at a time, pruned, cancelled.

A driver holds a lease on its sweep. Every step that it takes locks the sweep's row and makes sure
of the lease first, so that one which was thought dead, and is not, adds and prunes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, and_, insert, or_, select, update

from .. import tables as t
from ..errors import SweepDrivenError
from ..missing import no_sweep
from ..states import FINAL, Reason
from ..sweep import NewSweep, NewTrial, Stage
from ..tables import now
from . import jobs
from .alike import submit_all
from .cancelling import request_cancel
from .events import PRUNED, add_event
from .values import fit


def submit(connection: Connection, sweep: NewSweep, trials: Sequence[NewTrial]) -> int:
    """Enter a sweep with the trials that are known; return its id.

    Raises:
        UnknownJobError: a job that is to be waited for does not exist.
    """
    entry = {name: getattr(sweep, name) for name in NewSweep.__dataclass_fields__}
    sweep_id = int(
        connection.execute(
            insert(t.sweeps).values(**entry, created_at=now()).returning(t.sweeps.c.id)
        ).scalar_one()
    )
    _enter(connection, sweep_id, trials)
    return sweep_id


def _enter(connection: Connection, sweep_id: int, trials: Sequence[NewTrial]) -> None:
    wanted = [replace(trial.job, sweep=sweep_id) for trial in trials]
    ids = submit_all(connection, wanted, [trial.share for trial in trials])
    rows = [
        {"sweep": sweep_id, "number": trial.number, "params": trial.params, "job_id": job_id}
        for trial, job_id in zip(trials, ids, strict=True)
    ]
    if rows:
        connection.execute(insert(t.trials), rows)


def drive(connection: Connection, sweep_id: int, driver: str, lease: float) -> None:
    """Become the one who goes on with a sweep, or stay it for so many seconds more.

    Raises:
        UnknownSweepError: there is no such sweep.
        SweepDrivenError: another does.
    """
    s = t.sweeps.c
    free = or_(s.driver.is_(None), s.driver == driver, s.driver_until < now())
    taken = connection.execute(
        update(t.sweeps)
        .where(s.id == sweep_id, free)
        .values(fit(t.sweeps, driver=driver) | {"driver_until": now(lease)})
    )
    if not taken.rowcount:
        held = connection.execute(select(s.driver).where(s.id == sweep_id)).one_or_none()
        if held is None:
            raise no_sweep(connection, sweep_id)
        raise SweepDrivenError(sweep_id, held.driver)


def release(connection: Connection, sweep_id: int, driver: str) -> None:
    """Let another go on with a sweep, as this driver leaves, or is known to be dead."""
    s = t.sweeps.c
    connection.execute(
        update(t.sweeps)
        .where(s.id == sweep_id, s.driver == driver)
        .values(driver=None, driver_until=None)
    )


def hold(connection: Connection, sweep_id: int, driver: str) -> str:
    """Lock a sweep for a step of its driver; return its stage.

    Raises:
        SweepDrivenError: another drives it by now.
    """
    s = t.sweeps.c
    row = connection.execute(
        select(s.stage, s.driver).where(s.id == sweep_id).with_for_update()
    ).one_or_none()
    if row is None:
        raise no_sweep(connection, sweep_id)
    if row.driver != driver:
        raise SweepDrivenError(sweep_id, row.driver)
    return str(row.stage)


def add(
    connection: Connection, sweep_id: int, driver: str, trials: Sequence[NewTrial]
) -> list[NewTrial]:
    """Add trials to an open sweep; return those that it did not have yet.

    Raises:
        SweepDrivenError: another drives it by now; nothing was added.
    """
    if hold(connection, sweep_id, driver) != Stage.OPEN:
        return []
    known = set(connection.scalars(select(t.trials.c.number).where(t.trials.c.sweep == sweep_id)))
    fresh = [trial for trial in trials if trial.number not in known]
    _enter(connection, sweep_id, fresh)
    return fresh


def complete(connection: Connection, sweep_id: int, driver: str) -> None:
    """Note that there is nothing more to do about an open sweep.

    Raises:
        SweepDrivenError: another drives it by now.
    """
    if hold(connection, sweep_id, driver) == Stage.OPEN:
        _end(connection, sweep_id, Stage.COMPLETE)


def prune(connection: Connection, sweep_id: int, driver: str, job_id: int, why: str) -> bool:
    """Cancel a trial that is not worth its time; its history says why.

    Returns whether it had not ended by itself.

    Raises:
        SweepDrivenError: another drives the sweep by now; nothing was pruned.
    """
    hold(connection, sweep_id, driver)
    by, job = f"sweep {sweep_id}", t.jobs.c
    alive = and_(job.id == job_id, job.state.not_in(FINAL), ~job.cancel_requested)
    marked = connection.execute(update(t.jobs).where(alive).values(reason=Reason.PRUNED))
    if not marked.rowcount:
        return False
    add_event(connection, job_id, f"{PRUNED} {why}", by)
    request_cancel(connection, job.id == job_id, by)
    return True


def cancel(connection: Connection, sweep_id: int, by: str) -> int:
    """Add no more trials to a sweep, and cancel those that are unfinished; return how many.

    Raises:
        UnknownSweepError: there is no such sweep.
    """
    s = t.sweeps.c
    row = connection.execute(
        select(s.stage).where(s.id == sweep_id).with_for_update()
    ).one_or_none()
    if row is None:
        raise no_sweep(connection, sweep_id)
    number = jobs.cancel_where(connection, t.jobs.c.sweep == sweep_id, by)
    if row.stage == Stage.OPEN or number:
        _end(connection, sweep_id, Stage.CANCELLED)
    return number


def _end(connection: Connection, sweep_id: int, stage: Stage) -> None:
    values: dict[str, Any] = {"stage": stage, "finished_at": now()}
    if stage == Stage.CANCELLED:
        values |= {"driver": None, "driver_until": None}
    connection.execute(update(t.sweeps).where(t.sweeps.c.id == sweep_id).values(**values))
