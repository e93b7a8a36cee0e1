"""What the database says of a job, as plain frozen values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Row

from .damage import one_of, read_row
from .figures import headline
from .goals import Goal
from .ids import AttemptId
from .states import FINAL, Drain, WorkerState
from .text import one_line

_HEADLINE = ""  # the key in `goals` of what is no goal; no metric is called so

# What a worker announces: {"kinds": {name: {"fields": [...] or null, "missing": [...]}},
# "broken": {plug-in: error}}. None from a cvq that does not announce: it may know anything.
Announced: TypeAlias = Mapping[str, Any] | None


@dataclass(frozen=True)
class EncodedJson:
    """A value that is JSON already, to be stored as it is: a job's large result.

    `numbers` and `words` are those in it that can be asked for, by name.
    """

    text: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)


class LogLine(NamedTuple):
    """A line that a job wrote; `seq` counts within the attempt, over both streams."""

    seq: int
    time: datetime
    stream: str
    text: str


class MetricPoint(NamedTuple):
    """A named number at a step."""

    name: str
    step: int
    value: float
    time: datetime


class StoredLine(NamedTuple):
    """A log line as the database has it; ids grow with time."""

    id: int
    attempt: int
    seq: int
    time: datetime
    stream: str
    text: str


class StoredPoint(NamedTuple):
    """A metric's value at a step as the database has it; None of a number that was not finite."""

    id: int
    job_id: int
    attempt: int
    name: str
    step: int
    value: float | None
    time: datetime


class Summary(NamedTuple):
    """What can be said of a metric's whole curve.

    Attributes:
        value: the figure that counts: of a job that succeeded, what its result says.
        best: the better of `min` and `max`, where it is known which way the metric is better;
            `best_step` is where it was.
    """

    name: str
    value: float | None
    last: float | None
    min: float | None
    max: float | None
    best: float | None
    best_step: int | None


class Event(NamedTuple):
    """What happened to a job, and who did it."""

    time: datetime
    what: str
    by: str


@dataclass(frozen=True)
class NewJob:
    """A job about to be submitted.

    `spec` is the validated specification as JSON; `goals` are those that its kind declares, and
    `headline` are the figures that it wants shown first. One with an `error` cannot run: it is
    entered as failed, in its place among the jobs of its batch. The others are as in `Job`.
    """

    kind: str
    spec: dict[str, Any]
    spec_hash: str
    user: str
    queue: str = "default"
    priority: int = 5
    name: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    device: str | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    max_attempts: int = 3
    not_before: datetime | None = None
    goals: dict[str, Goal] | None = None
    headline: tuple[str, ...] = ()
    after: tuple[int, ...] = ()
    batch: int | None = None
    batch_key: str | None = None
    error: str | None = None
    sweep: int | None = None
    origin: dict[str, Any] | None = None
    identity: str | None = None
    twin_of: int | None = None
    made_from: int | None = None

    @property
    def declared(self) -> dict[str, Any]:
        """What the kind declares of its figures, as the column `goals` has it.

        Also where that is nothing: a list that shows the job then asks no kind.
        """
        return {**(self.goals or {}), _HEADLINE: list(self.headline)}


@dataclass(frozen=True)
class Artifact:
    """A file that an attempt left in the artifact store."""

    name: str
    role: str
    media_type: str
    uri: str
    sha256: str
    bytes: int
    attempt: int = 0

    @classmethod
    def from_row(cls, row: Row[Any]) -> Artifact:
        """Build from a row that has at least this class's columns."""
        mapping = row._mapping
        return cls(**{name: mapping[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True, repr=False)
class Job:
    """One row of `jobs`. Times are aware and in UTC.

    Attributes:
        name: what its user calls it.
        tags: words to find it by.
        spec: its specification as JSON.
        state: `waiting`, `queued`, `running`, `succeeded`, `failed` or `cancelled`.
        reason: why it is in that state, in a word: `error`, `oom`, `preempted`.
        progress: how far it is: `done`, `total`, `unit`, `eta_s`.
        metrics: the figure that counts of each metric: the last, or what the result says of it;
            None where it was not finite.
        headline: the figures that its kind wanted shown first when it was submitted; None of a
            job of an earlier version.
        result: what its code returned; None before it has succeeded.
        error: what went wrong in its last attempt.
        batch, sweep: the id of the batch that it was submitted in, of the sweep that it is a
            trial of.
        note: what somebody has written down of it.
        origin: where it was submitted; see `cvq.origin`.
        identity: equal for jobs that do the same; None of one whose work is never shared.
        twin_of: the id of the job whose result it shares, or waits for.
        made_from: the id of the job that it was made from, to be run again.
        trashed_at: since when it is in the trash.
        batch_key: equal for jobs that may run together on a model that stays loaded; None of a job
            that gets a process of its own.
        damage: the columns that hold what they cannot (a specification that is a list, say), each
            with a few words; they read as empty.
    """

    id: int
    kind: str
    queue: str
    priority: int
    user: str
    name: str | None
    tags: dict[str, str]
    spec: dict[str, Any]
    spec_hash: str
    device: str | None
    time_limit: float | None
    soft_time_limit: float | None
    state: str
    reason: str | None
    attempt: int
    max_attempts: int
    lease_owner: str | None
    lease_until: datetime | None
    cancel_requested: bool
    not_before: datetime | None
    progress: dict[str, Any] | None
    metrics: dict[str, float | None]
    goals: dict[str, Goal] | None
    result: Any
    error: str | None
    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    batch: int | None = None
    batch_key: str | None = None
    sweep: int | None = None
    note: str | None = None
    origin: dict[str, Any] | None = None
    identity: str | None = None
    twin_of: int | None = None
    made_from: int | None = None
    trashed_at: datetime | None = None
    headline: tuple[str, ...] | None = None
    damage: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_row(cls, row: Row[Any]) -> Job:
        """Build from a row that has at least this class's columns."""
        columns = [n for n in cls.__dataclass_fields__ if n not in ("headline", "damage")]
        values, damage = read_row(row, columns)
        goals = dict(values["goals"] or {})
        headline = goals.pop(_HEADLINE, None)
        values["goals"] = goals or None
        if isinstance(headline, list):
            values["headline"] = tuple(map(str, headline))
        return cls(**values, damage=damage)

    def __repr__(self) -> str:
        told = [f"{self.state} ({self.reason})" if self.reason else self.state]
        told += filter(None, [one_line(self.name or "", 40), headline(self, self.headline or ())])
        return f"<Job {self.id} {self.kind} {', '.join(told)}>"

    @property
    def attempt_id(self) -> AttemptId:
        """The id of the current attempt."""
        return AttemptId(self.id, self.attempt)

    @property
    def finished(self) -> bool:
        """Whether the job has come to its end, good or bad."""
        return self.state in FINAL

    @property
    def warnings(self) -> list[str]:
        """What a job that succeeded says is wrong with what it made, in sentences."""
        found = self.result.get("warnings") if isinstance(self.result, dict) else None
        return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []

    def seconds(self, now: datetime) -> float | None:
        """Run time of the last attempt so far, or None where it has not started."""
        if self.started_at is None:
            return None
        return max(0.0, ((self.finished_at or now) - self.started_at).total_seconds())


@dataclass(frozen=True)
class Attempt:
    """One row of `attempts`: where a job was tried and how that ended.

    Attributes:
        outcome: `succeeded`, `failed`, `cancelled`, or `stopped` by a worker that drained; None
            while it runs.
        reason: as in `Outcome`, and `worker-lost` where its worker fell silent.
        peak_memory: of the job's process, in bytes; of one that runs, as far as it was seen.
        last_lines: the last lines that it wrote, kept when it ended; None while it runs.
        micro_batch: a word that it shares with the attempts that were claimed along with it, to be
            answered together on a warm slot, and how many these are; None of one that had a
            process of its own.
    """

    job_id: int
    number: int
    worker: str
    host: str
    pid: int | None
    device: str | None
    versions: dict[str, str] | None
    seed: int | None
    started_at: datetime
    finished_at: datetime | None
    outcome: str | None
    reason: str | None
    error: str | None
    traceback: str | None
    peak_memory: int | None
    last_lines: list[str] | None
    micro_batch: str | None = None
    micro_batch_size: int | None = None

    @classmethod
    def from_row(cls, row: Row[Any]) -> Attempt:
        """Build from a row that has at least this class's columns."""
        return cls(**read_row(row, cls.__dataclass_fields__)[0])

    def seconds(self, now: datetime) -> float:
        """Run time so far, or to the end."""
        return max(0.0, ((self.finished_at or now) - self.started_at).total_seconds())


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        state: `succeeded`, `failed` or `cancelled`; or `queued` where the attempt was stopped
            through no fault of the job (a worker that drains).
        reason: `error`, `oom`, `signal:SEGV`, `exit:3`, `timeout`, ... (None when it succeeded).
        retry: whether a failed attempt is worth another one.
        peak_memory: of the job's process, in bytes.
    """

    state: str
    reason: str | None = None
    error: str | None = None
    traceback: str | None = None
    result: Any | EncodedJson = None
    retry: bool = False
    peak_memory: int | None = None


@dataclass(frozen=True)
class Lease:
    """A lease as it is: when it ends, whether it has by the database's clock, and its length."""

    attempt: AttemptId
    until: datetime
    expired: bool
    length: float | None


@dataclass(frozen=True)
class Worker:
    """One row of `workers`, and what the worker is doing.

    Attributes:
        devices: one for each slot: `cpu`, `mps`, `cuda:0`.
        kinds: what it announces (see `Announced`).
        lease: seconds for which it may be silent.
        drain: how somebody has asked it to leave.
        alive: it has been heard of within its lease, by the database's clock, and has not left.
        running: the ids of the jobs that it holds.
    """

    id: str
    host: str
    pid: int
    devices: list[str]
    queues: list[str]
    slots: int
    versions: dict[str, str] | None
    kinds: Announced
    lease: float
    state: WorkerState
    drain: Drain | None
    started_at: datetime
    seen_at: datetime
    alive: bool = False
    running: list[int] = field(default_factory=list)

    @classmethod
    def from_row(cls, row: Row[Any], running: Sequence[int]) -> Worker:
        """Build from a row that has this class's columns, and the database's time as `now`."""
        columns = [n for n in cls.__dataclass_fields__ if n not in ("alive", "running")]
        values, _ = read_row(row, columns)
        values |= {
            "pid": values["pid"] or 0,
            "devices": [str(device) for device in values["devices"]],
            "queues": [str(queue) for queue in values["queues"]],
            # What no cvq has written takes no jobs, or asks for what costs the least.
            "state": one_of(WorkerState, values["state"], WorkerState.DRAINING),
            "drain": one_of(Drain, values["drain"], Drain.STOP) if values["drain"] else None,
        }
        silent = row.now - values["seen_at"]
        alive = values["state"] != WorkerState.GONE and silent < timedelta(seconds=values["lease"])
        return cls(**values, alive=alive, running=list(running))

    @property
    def silent(self) -> bool:
        """Whether it has not been heard of lately, although it has not left."""
        return self.state != WorkerState.GONE and not self.alive

    @property
    def takes_jobs(self) -> bool:
        """Whether it is there, and will be."""
        return self.alive and self.state == WorkerState.UP and self.drain is None

    @property
    def free_slots(self) -> int:
        """How many of its slots run nothing."""
        return max(0, self.slots - len(self.running))

    @property
    def has_gpu(self) -> bool:
        """Whether one of its slots is not a CPU."""
        return any(device != "cpu" for device in self.devices)
