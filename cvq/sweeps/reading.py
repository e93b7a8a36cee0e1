"""Every statement that only reads sweeps and their trials."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, func, select

from .. import tables as t
from ..damage import read_row
from ..given import among
from ..missing import no_sweep
from ..queries import merged_points
from ..states import Reason, State
from ..summaries import METRICS
from ..sweep import PRUNED, Sweep, Trial
from ..tables import now
from .pruning import Curve

GONE = "gone"  # of a trial whose job was removed from the history
_RECENT = 20  # jobs of a kind that are asked for what they record


def get_sweep(connection: Connection, sweep_id: int) -> Sweep:
    """The sweep of this id.

    Raises:
        UnknownSweepError: there is none.
    """
    found = _sweeps(connection, select(t.sweeps).where(t.sweeps.c.id == sweep_id))
    if not found:
        raise no_sweep(connection, sweep_id)
    return found[0]


def last_sweeps(
    connection: Connection, users: Collection[str] = (), limit: int | None = None
) -> list[Sweep]:
    """Sweeps, the newest first."""
    s = t.sweeps.c
    query = select(t.sweeps).order_by(s.id.desc()).limit(limit)
    return _sweeps(connection, query.where(s.user.in_(users)) if users else query)


def _sweeps(connection: Connection, query: Select[Any]) -> list[Sweep]:
    rows = connection.execute(query.add_columns(now().label("now"))).all()
    states = _states(connection, [row.id for row in rows])
    return [Sweep.from_row(row, states[row.id], sum(states[row.id].values())) for row in rows]


def _states(connection: Connection, sweep_ids: Sequence[int]) -> Mapping[int, dict[str, int]]:
    """How many trials of each sweep are in each state that has any."""
    jobs, trials = t.jobs.c, t.trials.c
    query = (
        select(trials.sweep, jobs.state, jobs.reason, func.count())
        .select_from(t.trials.outerjoin(t.jobs, jobs.id == trials.job_id))
        .where(among(trials.sweep, sweep_ids))
        .group_by(trials.sweep, jobs.state, jobs.reason)
    )
    found: dict[int, defaultdict[str, int]] = {each: defaultdict(int) for each in sweep_ids}
    for sweep_id, state, reason, number in connection.execute(query).all():
        found[sweep_id][_state(state, reason)] += number
    return {sweep_id: dict(states) for sweep_id, states in found.items()}


def _state(state: str | None, reason: str | None) -> str:
    """What is said of a trial: that it was pruned is no failure, and nobody's wish."""
    if state is None:
        return GONE
    return PRUNED if state == State.CANCELLED and reason == Reason.PRUNED else state


def trials_of(connection: Connection, sweep_id: int, metric: str | None = None) -> list[Trial]:
    """The trials of a sweep in order, each with its metric.

    Args:
        connection: of the database.
        sweep_id: of the sweep.
        metric: by its name; None: they have none.
    """
    jobs, trials, s = t.jobs.c, t.trials.c, t.summaries.c
    row = and_(s.job_id == trials.job_id, s.name == metric)
    named = ("state", "reason", "progress", "created_at", "started_at", "finished_at", "error")
    query = (
        select(
            trials.number, trials.params, trials.job_id.label("job"),
            *(jobs[name] for name in named), s.source, s.value, s.best,
        )
        .select_from(
            t.trials.outerjoin(t.jobs, jobs.id == trials.job_id).outerjoin(t.summaries, row)
        )
        .where(trials.sweep == sweep_id)
        .order_by(trials.number)
    )  # fmt: skip
    found: dict[int, Trial] = {}
    for each in connection.execute(query).all():
        # A name may be a metric's and a number's of the result: the metric has both by then.
        if each.number not in found or each.source == METRICS:
            found[each.number] = _trial(each)
    return list(found.values())


def _trial(row: Any) -> Trial:
    names = [name for name in Trial.__dataclass_fields__ if name != "params"]
    values, _ = read_row(row, names)
    params = row.params if isinstance(row.params, dict) else {}
    values["state"] = _state(row.state, row.reason)
    return Trial(**values, params=params)


def curves_of(connection: Connection, trials: Sequence[Trial], metric: str) -> dict[int, Curve]:
    """The curve of a metric of each of some trials, by their numbers."""
    return {
        trial.number: [
            (point.step, point.value)
            for point in merged_points(connection, trial.job, names=[metric]).get(metric, [])
        ]
        for trial in trials
        if trial.job is not None
    }


def recorded(connection: Connection, kind: str) -> set[str]:
    """The metrics and numbers that the last jobs of a kind that succeeded have left."""
    jobs = t.jobs.c
    last = (
        select(jobs.id)
        .where(jobs.kind == kind, jobs.state == State.SUCCEEDED)
        .order_by(jobs.id.desc())
        .limit(_RECENT)
    )
    s = t.summaries.c
    return set(
        connection.scalars(
            select(s.name).where(among(s.job_id, connection.scalars(last))).distinct()
        )
    )
