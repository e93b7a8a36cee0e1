"""Jobs that were submitted together, as plain frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from .damage import read_row
from .states import FINAL, State


@dataclass(frozen=True)
class NewBatch:
    """A batch about to be submitted.

    Attributes:
        spec: what the specifications of its jobs have in common, as JSON.
        items: of all its jobs together, those that are refused or known too.
        max_fails: how many items may fail until the rest is cancelled; None: any number.
        cache_key: equal for batches that may answer each other's items.
        manifest: the SHA-256 of its manifest in the store; see `cvq.manifests`.
        known: items that jobs of earlier batches have answered.
    """

    kind: str
    user: str
    spec: Mapping[str, Any]
    items: int
    name: str | None = None
    max_fails: int | None = None
    cache_key: str | None = None
    manifest: str | None = None
    known: int = 0


@dataclass(frozen=True)
class Batch:
    """One row of `batches`, and how many of its jobs are in each state.

    Attributes:
        jobs: how many it has.
        items: of all its jobs together, and those that are known; more than `jobs` where a job
            has many.
        manifest: the SHA-256 of its manifest in the store; None of a batch of an early cvq.
        known: items that are answered by jobs of earlier batches.
        states: how many jobs are in each state that has any.
    """

    id: int
    kind: str
    user: str
    name: str | None
    spec: dict[str, Any]
    jobs: int
    items: int
    max_fails: int | None
    created_at: datetime
    manifest: str | None = None
    known: int = 0
    states: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_row(cls, row: Row[Any], states: Mapping[str, int]) -> Batch:
        """Build from a row that has at least this class's columns."""
        columns = [name for name in cls.__dataclass_fields__ if name != "states"]
        return cls(**read_row(row, columns)[0], states=states)

    @property
    def new(self) -> int:
        """How many items its jobs have together: more than `jobs` where these have shards."""
        return self.items - self.known

    @property
    def done(self) -> int:
        """How many jobs have ended, well or not."""
        return sum(self.states.get(state, 0) for state in FINAL)

    @property
    def finished(self) -> bool:
        """Whether all of them have."""
        return not any(self.states.get(state) for state in set(State) - set(FINAL))

    @property
    def failed(self) -> int:
        """How many jobs have failed."""
        return self.states.get(State.FAILED, 0)

    @property
    def state(self) -> str:
        """One state for all: what goes on, or how it ended, the worst first."""
        ongoing = (State.RUNNING, State.QUEUED, State.WAITING)
        order = (*ongoing, State.FAILED, State.CANCELLED)
        return next((state for state in order if self.states.get(state)), State.SUCCEEDED)
