"""A sweep and its trials as plain frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Row

from .damage import read_row
from .goals import Goal
from .records import NewJob
from .states import FINAL, Reason, State


class Stage(StrEnum):
    """What is still to be done about a sweep, besides running its jobs."""

    OPEN = "open"  # trials are to be added, or to be pruned
    COMPLETE = "complete"  # all trials are there, and run without anybody's help
    CANCELLED = "cancelled"


PRUNED = str(Reason.PRUNED)


@dataclass(frozen=True)
class NewSweep:
    """A sweep about to be entered; its attributes are those of `Sweep`."""

    kind: str
    user: str
    name: str | None
    stage: Stage
    spec: Mapping[str, Any]
    space: list[dict[str, Any]]
    method: str
    options: Mapping[str, Any]
    seed: int
    trials: int
    parallel: int | None = None
    metric: str | None = None
    direction: Goal | None = None


class NewTrial(NamedTuple):
    """A trial about to be entered.

    Attributes:
        number: counts from 1.
        params: its values.
        job: what is submitted.
        share: identities of jobs that do the same, and whose result it may have.
    """

    number: int
    params: Mapping[str, Any]
    job: NewJob
    share: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sweep:
    """One row of `sweeps`, and the states of its trials.

    Attributes:
        stage: see `Stage`.
        spec: the values that its trials have in common, as JSON.
        space: see `cvq.sweeps.space`, as JSON.
        method: `grid`, `random` or `optuna`.
        options: what its jobs are submitted with, and how it is pruned.
        seed: of what is drawn.
        trials: how many there are to be.
        parallel: how many may be unfinished at a time; None: any number.
        metric: by which trials are compared, where it was said or its kind says so.
        direction: `max` or `min`: which way that is better.
        driver: who goes on with it, and until when nobody else may; `driven`: whether that time
            has not ended.
        states: how many trials are in each state that has any; `pruned` is one of these.
        submitted: how many trials there are.
    """

    id: int
    kind: str
    user: str
    name: str | None
    stage: str
    spec: dict[str, Any]
    space: list[dict[str, Any]]
    method: str
    options: dict[str, Any]
    seed: int
    trials: int
    parallel: int | None
    metric: str | None
    direction: Goal | None
    created_at: datetime
    finished_at: datetime | None
    driver: str | None
    driver_until: datetime | None
    driven: bool = False
    states: Mapping[str, int] = field(default_factory=dict)
    submitted: int = 0

    @classmethod
    def from_row(cls, row: Row[Any], states: Mapping[str, int], submitted: int) -> Sweep:
        """Build from a row that has this class's columns, and the database's time as `now`."""
        own = ("driven", "states", "submitted")
        values, _ = read_row(row, [name for name in cls.__dataclass_fields__ if name not in own])
        until = values["driver_until"]
        driven = values["driver"] is not None and until is not None and until > row.now
        return cls(**values, driven=driven, states=states, submitted=submitted)

    @property
    def done(self) -> int:
        """How many trials have ended, well or not, were pruned, or are gone from the history."""
        return sum(self.states.values()) - self.unfinished

    @property
    def failed(self) -> int:
        """How many have failed."""
        return self.states.get(State.FAILED, 0)

    @property
    def unfinished(self) -> int:
        """How many are in the queue or run."""
        return sum(self.states.get(state, 0) for state in set(State) - set(FINAL))

    @property
    def finished(self) -> bool:
        """Whether nothing more happens in it."""
        return self.stage != Stage.OPEN and not self.unfinished

    @property
    def stalled(self) -> bool:
        """Whether there is something to do about it, and nobody does."""
        return self.stage == Stage.OPEN and not self.driven

    @property
    def state(self) -> str:
        """One word for all: what goes on, or how it ended.

        `interrupted` where trials are to come, and nobody adds them; one in which some trials
        failed has succeeded, as long as another has.
        """
        if self.stage == Stage.CANCELLED:
            return State.CANCELLED
        if self.stalled and self.submitted < self.trials:
            return "interrupted"
        for state in (State.RUNNING, State.QUEUED, State.WAITING):
            if self.states.get(state):
                return state
        if self.stage == Stage.OPEN:
            return State.RUNNING
        order = (State.SUCCEEDED, State.FAILED, State.CANCELLED)
        return next((state for state in order if self.states.get(state)), State.SUCCEEDED)


@dataclass(frozen=True)
class Trial:
    """One trial of a sweep, as of the last look.

    Attributes:
        number: counts from 1.
        params: its values, by the names of the parameters.
        job: the id of its job; None once that was removed from the history.
        state: of its job, or `pruned`, or `gone`.
        value: its metric: what its result says, else the last; None where it has none, or where it
            was not finite.
        best: the best of the curve, where it is known which way is better.
    """

    number: int
    params: dict[str, Any]
    job: int | None
    state: str
    value: float | None = None
    best: float | None = None
    progress: dict[str, Any] | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: str | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more comes from it."""
        return self.state in (*FINAL, PRUNED, "gone")

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1."""
        if self.ended:
            return 1.0
        at = self.progress or {}
        done, total = at.get("done"), at.get("total")
        if not (isinstance(done, int | float) and isinstance(total, int | float) and total > 0):
            return 0.0
        return min(1.0, max(0.0, done / total))
