"""A sweep from what was asked for to its first trials: all is checked, then inputs are stored."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import queries
from ..checks import JobOptions, check_storable
from ..errors import UsageError
from ..goals import Goal, goal_of
from ..kinds.code import code_of
from ..kinds.kind import Kind
from ..origin import WorkingFolder, origin
from ..sweep import NewSweep, NewTrial, Stage
from ..text import did_you_mean, nearest
from . import reading, suggesting
from .coming import coming
from .fitting import fitted, named
from .making import OnPack, TrialMaker, stored_options, taken_in
from .pruning import WARM_UP
from .space import Space, parse, size

if TYPE_CHECKING:
    from ..client import Client

MOST_JOBS = 1_000  # of a sweep, where nothing else is said
MOST_OF_ALL = 10_000  # they are entered in one transaction
OF_SWEEP = ("method", "trials", "parallel", "prune", "warm_up", "seed", "max_jobs", "cache")
_METHODS = ("grid", "random", "optuna")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be tried; see `Client.sweep`.

    Attributes:
        options: what each job is submitted with; the name is the sweep's.

    Raises:
        UsageError: an option is out of bounds, or does not go with another.
    """

    kind: Kind
    space: Any
    values: Mapping[str, Any]
    options: JobOptions
    method: str = "grid"
    trials: int | None = None
    metric: str | None = None
    goal: Goal | None = None
    parallel: int | None = None
    prune: str | None = None
    warm_up: int = WARM_UP
    seed: int = 0
    max_jobs: int = MOST_JOBS
    cache: bool = True

    def __post_init__(self) -> None:
        if self.method not in _METHODS:
            raise UsageError(f"method '{self.method}': give {', '.join(_METHODS)}")
        if self.prune not in (None, "median"):
            raise UsageError(f"prune '{self.prune}': give median")
        if self.method == "grid" and self.trials is not None:
            raise UsageError("a grid has as many trials as points: give no number, or draw some")
        if self.method != "grid" and self.trials is None:
            raise UsageError(f"how many trials? Give a number to a {self.method} sweep")
        if not 1 <= self.max_jobs <= MOST_OF_ALL:
            raise UsageError(f"max_jobs {self.max_jobs}: give 1 to {MOST_OF_ALL}")
        for name in ("trials", "parallel", "warm_up"):
            if (given := getattr(self, name)) is not None and given < 1:
                raise UsageError(f"{name} {given}: give at least 1")


class Plan(NamedTuple):
    """A sweep about to be entered.

    Attributes:
        sweep: its row.
        first: the trials to enter with it.
        known: all trials that are known by now: of a grid and of random draws, every one.
        space: what it varies.
    """

    sweep: NewSweep
    first: list[NewTrial]
    known: list[NewTrial]
    space: Space


def prepare(
    client: Client, wanted: Wanted, *, dry: bool = False, on_pack: OnPack | None = None
) -> Plan:
    """Check everything, and store the inputs once.

    Args:
        client: whose settings, database and store it is done with.
        wanted: what is to be tried.
        dry: store nothing.
        on_pack: told how many files of a data folder are packed, and of how many.

    Raises:
        UsageError: a name, value, range or combination of values cannot be.
        SetupError: an input cannot be fetched, or the store cannot be written.
    """
    kind = wanted.kind
    space = named(kind, parse(wanted.space))
    trials = _trials(wanted, space)
    if wanted.method == "optuna":
        suggesting.require()
    values = dict(wanted.values)
    if all(parameter.name != "seed" for parameter in space):
        values["seed"] = wanted.seed
    metric, goal = _metric(client, wanted)
    space = fitted(kind, space, values)
    maker = TrialMaker(
        kind, client.settings.user, values, space, wanted.options, None, wanted.cache
    )
    if wanted.method != "optuna":  # none is to be refused once inputs are stored
        _known(maker, wanted, trials)
    with WorkingFolder() as folder:  # at which git looks meanwhile
        maker = taken_in(client, maker, dry=dry, on_pack=on_pack)
        here = origin(client.settings.host, code_of(kind), folder)
    maker = replace(maker, origin=here)
    sweep = _entry(client, wanted, maker, trials, (metric, goal))
    if wanted.method == "optuna":
        known = first = maker.trials(coming(sweep, maker.space, []), strict=False)
    else:
        known = _known(maker, wanted, trials)
        first = known[: sweep.parallel]
    with client.db.read() as connection:
        first = maker.told(connection, first)
    if wanted.prune is not None or len(first) < trials:
        sweep = replace(sweep, stage=Stage.OPEN)
    return Plan(sweep, first, known, maker.space)


def _entry(
    client: Client,
    wanted: Wanted,
    maker: TrialMaker,
    trials: int,
    compared: tuple[str | None, Goal | None],
) -> NewSweep:
    """The row of a sweep whose trials are all entered at once."""
    sweep = NewSweep(
        kind=wanted.kind.name,
        user=maker.user,
        name=wanted.options.name,
        stage=Stage.COMPLETE,
        spec=maker.values,
        space=[parameter.to_json() for parameter in maker.space],
        method=wanted.method,
        options=_options(wanted, maker.options),
        seed=wanted.seed,
        trials=trials,
        parallel=_parallel(client, wanted, trials),
        metric=compared[0],
        direction=compared[1],
    )
    check_storable("the sweep", [sweep.spec, sweep.space])
    return sweep


def _options(wanted: Wanted, options: JobOptions) -> dict[str, Any]:
    rule = {} if wanted.prune is None else {"prune": wanted.prune, "warm_up": wanted.warm_up}
    return {**stored_options(options), "cache": wanted.cache, **rule}


def _parallel(client: Client, wanted: Wanted, trials: int) -> int | None:
    """How many trials may be unfinished at a time; None: all."""
    if wanted.parallel is not None:
        return min(wanted.parallel, trials)
    if wanted.method != "optuna":
        return None
    with client.db.read() as connection:
        workers = queries.live_workers(connection, wanted.options.place)
    return min(trials, max(1, sum(worker.slots for worker in workers)))


def _trials(wanted: Wanted, space: Space) -> int:
    """How many trials there are to be.

    Raises:
        UsageError: they are too many, or a grid has a range.
    """
    trials, most = wanted.trials, wanted.max_jobs
    if wanted.method == "grid":
        for parameter in space:
            if parameter.size is None or parameter.to_json().get("log"):
                parameter.values()  # which says what a grid takes instead
        trials = size(space)
    assert trials is not None
    if trials <= most:
        return trials
    sides = " x ".join(f"{parameter.size}" for parameter in space)
    of = f" ({sides})" if wanted.method == "grid" and len(space) > 1 else ""
    raise UsageError(
        f"{trials:,} trials{of} are more than the {most:,} that this sweep may have: give fewer "
        f"values, draw some of them at random, or raise max_jobs (--max-jobs), {MOST_OF_ALL:,} at "
        "most"
    )


def _known(maker: TrialMaker, wanted: Wanted, trials: int) -> list[NewTrial]:
    """Every trial of a grid, or of random draws.

    Raises:
        UsageError: the values of one do not go together.
    """
    whole = _Whole(wanted.method, trials, wanted.seed)
    return maker.trials(coming(whole, maker.space, []), strict=True)


@dataclass(frozen=True)
class _Whole:
    """A sweep of which all trials come at once."""

    method: str
    trials: int
    seed: int
    parallel: int | None = None
    direction: Goal | None = None


def _metric(client: Client, wanted: Wanted) -> tuple[str | None, Goal | None]:
    """By what trials are compared: what was said, else the kind's first figure with a goal.

    Raises:
        UsageError: it was misspelt, or something needs one and there is none.
    """
    kind = wanted.kind
    if wanted.metric is not None:
        _check_metric(client, kind, wanted.metric)
        return wanted.metric, wanted.goal
    for name in kind.headline:
        if goal := goal_of(name, kind.goals):
            return name, goal
    if wanted.method == "optuna" or wanted.prune is not None:
        what = "a sweep by Optuna" if wanted.method == "optuna" else "pruning"
        raise UsageError(
            f"{what} needs a metric, and {kind.name} says none: give maximize or minimize "
            "(--maximize, --minimize)"
        )
    return None, None


def _check_metric(client: Client, kind: Kind, metric: str) -> None:
    with client.db.read() as connection:
        found = reading.recorded(connection, kind.name)
    known = {*found, *kind.headline, *kind.goals}
    if metric in known or not found:
        return
    said = f"no {kind.name} job has recorded '{metric}'"
    if near := nearest(metric, known):
        raise UsageError(f"{said}: {did_you_mean(near)}")
    warnings.warn(f"{said} so far", stacklevel=5)
