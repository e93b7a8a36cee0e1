"""What a storm will do, drawn from its seed before it begins: the jobs and the acts.

The same options give the same plan, and `Plan.digest` says so in a word. Only what an act hits is
left open: it carries a draw, which picks from what is running at that moment.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from .items import HEALTHY, POISONS
from .kind import TRAITS

# Acts come in bags: each bag holds all of these once, shuffled, so that none is left out.
BAG = (
    "kill-job",
    "kill-job",
    "kill-job",
    "freeze-job",
    "freeze-job",
    "kill-worker",
    "kill-worker",
    "freeze-worker",
    "freeze-worker",
    "suspend-worker",  # with its jobs, as a machine is
    "drain-worker",
    "kill-forkserver",
    "kill-supervisor",
    "kill-warm",
    "kill-warm",
    "freeze-warm",
    "kill-redis",
    "flush-redis",
)
POSTGRES_BAG = ("cut-one", "cut-one", "cut-all", "crash-postgres")  # connections, and all of it

_SUBMITTED_BY = 0.5  # of the time; the rest is for what the storm has delayed
_LOAD = 0.6  # of the slots, so that most acts find something to hit
_MOST_STRETCHED = 20.0
_NEVER_THAWED = 0.25  # of the frozen jobs
_REAPED_AFTER_S = 2.5  # the end of the lease
_BATCH = 20  # items; one in so many is a poison


@dataclass(frozen=True)
class StormOptions:
    """What a storm is made from.

    Attributes:
        jobs: how many are submitted, over the first half of the time.
        items: small jobs that are submitted in batches beside them.
        seed: of the plan.
        minutes: how long acts go on; the storm ends when all jobs are final after that.
        database: `sqlite` or `postgres`.
        workers: worker processes; one that is killed is replaced.
        slots: jobs at a time of each worker.
        every: seconds between two acts, on average.
        lease: of the workers, in seconds.
        settle: seconds in which what must happen has happened: workers are up, drained ones have
            left, after the last act every job is final, and no process is left behind.
        keep: a folder for the ledger, the workers' logs and the embedded database afterwards.
    """

    jobs: int = 1000
    items: int = 500
    seed: int = 1
    minutes: float = 10.0
    database: str = "sqlite"
    workers: int = 4
    slots: int = 2
    every: float = 2.0
    lease: float = 5.0
    settle: float = 900.0
    keep: str | None = None

    @property
    def seconds(self) -> float:
        """How long acts go on."""
        return self.minutes * 60


@dataclass(frozen=True)
class PlannedJob:
    """A job of the storm; `after` are numbers of earlier ones, `trait` is what it does besides.

    One with `cancel_at` is cancelled when that many of its steps are seen to be done.
    """

    number: int
    at: float
    steps: int
    pause: float
    priority: int
    after: tuple[int, ...]
    cancel_at: int | None
    trait: str = "plain"


@dataclass(frozen=True)
class PlannedItem:
    """An item of the storm; the temper is what it does to who answers it."""

    number: int
    temper: str


@dataclass(frozen=True)
class PlannedBatch:
    """Items that are submitted together.

    Poisons are a batch of their own, as they are not tried as often; whoever answers items takes
    those of all batches together.
    """

    number: int
    at: float
    items: tuple[PlannedItem, ...]
    poisonous: bool


@dataclass(frozen=True)
class Act:
    """Something done to the cluster, `at` seconds after its start.

    `draw` picks from what can be hit. What was frozen goes on after `thaw_after` seconds; None
    means never.
    """

    number: int
    at: float
    kind: str
    draw: int
    thaw_after: float | None


@dataclass(frozen=True)
class Plan:
    """All jobs, batches and acts of a storm, each in the order of their times."""

    jobs: tuple[PlannedJob, ...]
    batches: tuple[PlannedBatch, ...]
    acts: tuple[Act, ...]

    @property
    def items(self) -> list[PlannedItem]:
        """Those of all batches."""
        return [item for batch in self.batches for item in batch.items]

    @property
    def digest(self) -> str:
        """A word that two plans share only when they are the same."""
        return hashlib.sha256(json.dumps(self.to_json()).encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON knows it."""
        return asdict(self)


def make_plan(options: StormOptions) -> Plan:
    """Draw the plan of these options."""
    draw = random.Random(f"cvq storm {options.seed}")
    jobs, acts = tuple(_jobs(options, draw)), tuple(_acts(options, draw))
    return Plan(jobs, tuple(_batches(options, draw)), acts)


def _jobs(options: StormOptions, draw: random.Random) -> Iterator[PlannedJob]:
    stretch = _stretch(options)
    times = sorted(draw.uniform(0, options.seconds * _SUBMITTED_BY) for _ in range(options.jobs))
    independent: list[int] = []
    for number, at in enumerate(times):
        steps, pause = draw.randint(3, 12), draw.uniform(0.02, 0.1) * stretch
        priority = draw.choice((2, 8)) if draw.random() < 0.2 else 5
        fate = draw.random()
        after: tuple[int, ...] = ()
        cancel_at = None
        if fate < 0.05:
            # Nobody's parent: whoever waits for a cancelled job fails, and rightly.
            steps, pause = draw.randint(10, 12), max(pause, 0.1)
            cancel_at = steps // 2
        else:
            if fate < 0.15 and independent:
                near = independent[-20:]
                after = tuple(sorted(draw.sample(near, min(len(near), draw.randint(1, 2)))))
            independent.append(number)
        trait = draw.choice(TRAITS)
        yield PlannedJob(
            number, round(at, 3), steps, round(pause, 4), priority, after, cancel_at, trait
        )


def _batches(options: StormOptions, draw: random.Random) -> Iterator[PlannedBatch]:
    number = 0
    for start in range(0, options.items, _BATCH):
        at = round(draw.uniform(0, options.seconds * _SUBMITTED_BY), 3)
        tempers = [draw.choice(HEALTHY) for _ in range(min(_BATCH, options.items - start) - 1)]
        tempers.append(POISONS[start // _BATCH % len(POISONS)])
        items = tuple(PlannedItem(start + place, temper) for place, temper in enumerate(tempers))
        for some, poisonous in ((items[:-1], False), (items[-1:], True)):
            if some:
                yield PlannedBatch(number, at, some, poisonous)
                number += 1


def _stretch(options: StormOptions) -> float:
    """By how much steps are longer than 0.02 to 0.1 s, so that there is work until the end."""
    unstretched = options.jobs * 7.5 * 0.06
    wanted = options.seconds * options.workers * options.slots * _LOAD
    return min(max(wanted / unstretched, 1.0), _MOST_STRETCHED)


def _acts(options: StormOptions, draw: random.Random) -> Iterator[Act]:
    bag: list[str] = []
    number = 0
    while (at := (number + 1 + draw.uniform(-0.3, 0.3)) * options.every) < options.seconds:
        if not bag:
            bag = _full_bag(options)
            draw.shuffle(bag)
        kind = bag.pop()
        thaw = _thaw_after(kind, options.lease, draw)
        yield Act(number, round(at, 3), kind, draw.randrange(1 << 16), thaw)
        number += 1


def _full_bag(options: StormOptions) -> list[str]:
    return [*BAG, *(POSTGRES_BAG if options.database == "postgres" else ())]


def _thaw_after(kind: str, lease: float, draw: random.Random) -> float | None:
    """Sometimes sooner than the lease ends, sometimes later."""
    share, never = draw.uniform(0.2, 2.5), draw.random() < _NEVER_THAWED
    if kind == "suspend-worker":  # always later, and when the lost jobs have begun elsewhere
        return round(lease * (1 + share / 2) + _REAPED_AFTER_S, 3)
    if kind == "freeze-worker" or (kind in ("freeze-job", "freeze-warm") and not never):
        return round(lease * share, 3)
    return None
