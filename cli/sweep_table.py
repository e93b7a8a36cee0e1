"""The columns of a list of sweeps, and of the trials of one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from cvq.states import State

from . import formats
from .display import Listing
from .output import Column
from .widths import ending, name

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.sweep import Sweep, Trial
    from cvq.sweeps.space import Parameter, Space

_STYLES: defaultdict[str, str] = defaultdict(str)
_STYLES |= {**formats.STATE_STYLES, "pruned": "dim", "interrupted": "yellow"}


class Placed(NamedTuple):
    """A trial at its place in a ranking, which only one with a metric has."""

    rank: int | None
    trial: Trial


def placed(trials: Sequence[Trial]) -> list[Placed]:
    """Trials in the order of a ranking, with their places."""
    return [
        Placed(None if trial.value is None else place, trial)
        for place, trial in enumerate(trials, 1)
    ]


def trial_columns(
    space: Space, metric: str | None, now: datetime, *, whole: bool
) -> list[Column[Placed]]:
    """What `cvq sweep show` shows of a trial.

    Args:
        space: of the sweep.
        metric: by which they are ranked.
        now: the database's time.
        whole: also parameters that do not vary, as in CSV.
    """
    from cvq.sweeps.space import varying

    def seconds(row: Placed) -> float | None:
        begun, ended = row.trial.started_at, row.trial.finished_at
        return None if begun is None else max(0.0, ((ended or now) - begun).total_seconds())

    shown = space if whole else varying(space) or space
    return [
        Column("rank", lambda row: str(row.rank or ""), lambda row: row.rank, right=True),
        Column(
            "trial", lambda row: str(row.trial.number), lambda row: row.trial.number,
            right=True, rank=3,
        ),
        Column(
            "job", lambda row: str(row.trial.job or ""), lambda row: row.trial.job, right=True
        ),
        Column(
            "state", lambda row: row.trial.state, style=lambda row: _STYLES[row.trial.state],
            rank=2, least=6,
        ),
        *([_value(metric)] if metric else []),
        *(_parameter(parameter) for parameter in shown),
        Column(
            "time", lambda row: formats.duration(seconds(row)), seconds, "seconds",
            right=True, rank=4,
        ),
    ]  # fmt: skip


def _value(metric: str) -> Column[Placed]:
    return Column(
        formats.clean(metric),
        lambda row: "" if row.trial.value is None else formats.number(row.trial.value),
        lambda row: row.trial.value,
        right=True,
    )


def _parameter(parameter: Parameter) -> Column[Placed]:
    def text(row: Placed) -> str:
        params = row.trial.params
        return parameter.text(params[parameter.name]) if parameter.name in params else ""

    return Column(
        formats.clean(parameter.name), text, lambda row: row.trial.params.get(parameter.name),
        rank=1, least=4,
    )  # fmt: skip


def columns(now: datetime) -> list[Column[Sweep]]:
    """What `cvq sweep ls` shows of a sweep."""
    from cvq.views.shapes import iso

    def counted(state: str) -> Column[Sweep]:
        return Column(
            state,
            lambda sweep: str(sweep.states.get(state, "")),
            lambda sweep: sweep.states.get(state, 0),
            right=True,
            rank=2,
        )

    return [
        Column("id", lambda sweep: str(sweep.id), lambda sweep: sweep.id, right=True),
        Column("state", lambda sweep: sweep.state, style=lambda sweep: _STYLES[sweep.state]),
        Column("kind", lambda sweep: formats.clean(sweep.kind), rank=4, least=10, short=ending),
        Column("name", lambda sweep: formats.clean(sweep.name or ""), rank=5, least=8, short=name),
        Column("method", lambda sweep: sweep.method, rank=6),
        Column("user", lambda sweep: formats.clean(sweep.user), rank=8, least=8, short=ending),
        Column(
            "age", lambda sweep: formats.age(sweep.created_at, now),
            lambda sweep: iso(sweep.created_at), "created_at", right=True, rank=7,
        ),
        Column("trials", lambda sweep: str(sweep.trials), lambda s: s.trials, right=True),
        Column("done", lambda sweep: str(sweep.done), lambda sweep: sweep.done, right=True),
        counted("pruned"),
        counted(State.FAILED),
    ]  # fmt: skip


def listing(client: Client) -> Listing[Sweep]:
    """A list of sweeps in every form."""
    from cvq import queries
    from cvq.sweeps import shapes

    def now() -> datetime:
        with client.db.read() as connection:
            return queries.database_time(connection)

    def shape(sweeps: Sequence[Sweep]) -> list[dict[str, Any]]:
        return [shapes.sweep(sweep) for sweep in sweeps]

    return Listing(
        columns=lambda: columns(now()), shape=shape, quiet=lambda sweep: sweep.id,
        empty="no sweeps: `cvq sweep KIND --grid NAME=VALUES` starts one",
    )  # fmt: skip
