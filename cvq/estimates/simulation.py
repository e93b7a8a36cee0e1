"""When queued jobs will start: the queue played to its end, many times, with times that are drawn.

It serves as claims do (`lifecycle.order`): a slot that is free takes, of the jobs that fit it, the
first by priority, turn and age. A job that arrives or becomes ready takes its turn as
`order.new_rank` gives it. Pure functions of plain values; the clock begins at 0, in seconds.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from .run_time import Z90, Spread

_MOST_ARRIVALS = 3_000  # in one play
_NEVER = math.inf


class Turn(NamedTuple):
    """Where a job stands: the lowest comes first."""

    falling_priority: int
    rank: int
    id: int


@dataclass(frozen=True)
class Entry:
    """A job that has not begun.

    Attributes:
        id: of the job; others than real ones are negative.
        turn: where it stands, once it is ready.
        lane: jobs of one lane take turns among themselves: those of one queue.
        place: an index: jobs that the same slots can run.
        user: who submitted it.
        times: how long it runs, by the class of the slot.
        kind: those of one kind are mistaken alike.
        ready: when it may begin at the earliest.
        after: jobs that must end first.
        weight: how many jobs it stands for, one after the other; less than 1 of one that shares
            its slot with others.
    """

    id: int
    turn: Turn
    lane: str
    place: int
    user: str
    times: Mapping[int, Spread]
    kind: str
    ready: float = 0.0
    after: frozenset[int] = frozenset()
    weight: float = 1.0


@dataclass(frozen=True)
class Busy:
    """A slot, and the job that it runs.

    Attributes:
        slot_class: an index: slots that can run the same, equally fast.
        job: the id of the running job; None where the slot is free.
        ran: for how long.
        time: how long it runs in all, as learnt.
        left: what its progress says that is left.
        kind: of the job.
    """

    slot_class: int
    job: int | None = None
    ran: float = 0.0
    time: Spread | None = None
    left: float | None = None
    kind: str = ""


@dataclass(frozen=True)
class Arrivals:
    """What will be submitted meanwhile: like what was, as often.

    Attributes:
        gap: the mean number of seconds between two submissions; infinite where there are none.
        samples: the jobs of past submissions.
    """

    gap: float = _NEVER
    samples: Sequence[Sequence[Entry]] = ()


@dataclass(frozen=True)
class Scene:
    """All that is known when the clock begins.

    Attributes:
        slots: of all live workers that take jobs.
        places: for each class of slots, the places whose jobs it can run.
        queue: the jobs that have not begun, the targets among them.
        targets: the ids of the jobs that are asked about.
        last_ranks: by queue, priority and user, the highest rank that is queued or running.
    """

    slots: Sequence[Busy]
    places: Mapping[int, Sequence[int]]
    queue: Sequence[Entry]
    targets: frozenset[int]
    arrivals: Arrivals = Arrivals()
    last_ranks: Mapping[tuple[str, int, str], int] = field(default_factory=dict)


class Ran(NamedTuple):
    """What became of a target in one play: when it started and ended, on which class of slot."""

    start: float
    end: float
    slot_class: int


PROGRESS_SPREAD = 0.15  # of what a running job says is left


def play(scene: Scene, random: Random) -> dict[int, Ran]:
    """One play; targets that never start are left out."""
    return _Play(scene, random).run()


class _Play:
    def __init__(self, scene: Scene, random: Random) -> None:
        self._scene = scene
        self._random = random
        self._mistakes: dict[str, float] = {}  # of a kind, the same for all its jobs
        self._ends: dict[int, float] = {}
        self._lines: dict[int, list[tuple[Turn, Entry]]] = {}
        self._coming: list[tuple[float, int, Entry]] = []  # not ready yet
        self._held: dict[int, list[Entry]] = {}  # by one of the jobs that they wait for
        self._served: dict[tuple[str, int], int] = {}
        self._last = dict(scene.last_ranks)
        self._count = 0
        self._wanted = set(scene.targets)
        self._samples, self._mean_gap = self._coming_ones()
        self._next_arrival = self._gap()

    def run(self) -> dict[int, Ran]:
        free = self._begin()
        found: dict[int, Ran] = {}
        while free and self._wanted:
            now, number, slot_class = heapq.heappop(free)
            self._let_in(now)
            entry = self._take(slot_class)
            if entry is None:
                later = self._next_change(now)
                if later < _NEVER:
                    heapq.heappush(free, (later, number, slot_class))
                continue
            ran = self._draw(entry, slot_class)
            end = now + ran
            self._end(entry.id, end)
            if entry.id in self._wanted:
                self._wanted.discard(entry.id)
                found[entry.id] = Ran(now, end, slot_class)
            heapq.heappush(free, (now + ran * min(1.0, entry.weight), number, slot_class))
        return found

    def _begin(self) -> list[tuple[float, int, int]]:
        free = []
        for number, slot in enumerate(self._scene.slots):
            left = left_of(slot, self._random, self._mistakes)
            if slot.job is not None:
                self._ends[slot.job] = left
            free.append((left, number, slot.slot_class))
        heapq.heapify(free)
        for entry in self._scene.queue:
            self._enter(entry, joins=False)
        for line in self._lines.values():
            heapq.heapify(line)
        return free

    # ------------------------------------------------------------------------ who is next

    def _enter(self, entry: Entry, *, joins: bool = True) -> None:
        """Put a job where it belongs: in its line, or with those that are to come."""
        missing = next((job for job in entry.after if job not in self._ends), None)
        if missing is not None:
            self._held.setdefault(missing, []).append(entry)
            return
        ready = max([entry.ready, *(self._ends[job] for job in entry.after)])
        if ready > 0:
            self._count += 1
            heapq.heappush(self._coming, (ready, self._count, entry))
        elif joins:
            self._join(entry)
        else:
            self._lines.setdefault(entry.place, []).append((entry.turn, entry))

    def _join(self, entry: Entry) -> None:
        """Let a job take its turn, as `order.new_rank` has it."""
        level = (entry.lane, entry.turn.falling_priority)
        owner = (*level, entry.user)
        rank = max(self._served.get(level, 0), self._last.get(owner, -1) + 1)
        self._last[owner] = rank
        self._count += 1
        own = entry.id if entry.id > 0 else (1 << 60) + self._count
        turn = Turn(entry.turn.falling_priority, rank, own)
        heapq.heappush(self._lines.setdefault(entry.place, []), (turn, entry))

    def _let_in(self, now: float) -> None:
        """Let the jobs join that have become ready or were submitted."""
        while self._next_arrival <= now and self._count < _MOST_ARRIVALS:
            at = self._next_arrival
            for entry in self._random.choice(self._samples):
                self._count += 1
                heapq.heappush(self._coming, (at, self._count, entry))
            self._next_arrival = at + self._gap()
        while self._coming and self._coming[0][0] <= now:
            self._join(heapq.heappop(self._coming)[2])

    def _take(self, slot_class: int) -> Entry | None:
        lines = [self._lines.get(place) for place in self._scene.places.get(slot_class, ())]
        best = min((line for line in lines if line), key=lambda line: line[0][0], default=None)
        if best is None:
            return None
        turn, entry = heapq.heappop(best)
        self._served[entry.lane, turn.falling_priority] = turn.rank
        return entry

    def _next_change(self, now: float) -> float:
        """When there may be something for a slot that has found nothing."""
        coming = self._coming[0][0] if self._coming else _NEVER
        arriving = self._next_arrival if self._count < _MOST_ARRIVALS else _NEVER
        running = min((end for end in self._ends.values() if end > now), default=_NEVER)
        return min(coming, arriving, running if self._held else _NEVER)

    def _end(self, job: int, at: float) -> None:
        self._ends[job] = at
        for entry in self._held.pop(job, ()):
            self._enter(entry)

    # ------------------------------------------------------------------------ what is drawn

    def _coming_ones(self) -> tuple[Sequence[Sequence[Entry]], float]:
        """What may be submitted in this play, and how often.

        A few submissions tell neither well: each play has a rate that might have given them (the
        posterior of a Poisson process seen back to its n-th event), and a bootstrap of them.
        """
        samples, gap = self._scene.arrivals.samples, self._scene.arrivals.gap
        if not samples or gap == _NEVER:
            return samples, _NEVER
        number = len(samples)
        gap *= number / self._random.gammavariate(number, 1.0)
        return self._random.choices(samples, k=number), gap

    def _gap(self) -> float:
        gap = self._mean_gap
        return _NEVER if gap == _NEVER else self._random.expovariate(1 / max(gap, 1e-3))

    def _draw(self, entry: Entry, slot_class: int) -> float:
        time = entry.times[slot_class]
        return drawn(time, entry.kind, self._random, self._mistakes, max(1.0, entry.weight))


def drawn(
    time: Spread, kind: str, random: Random, mistakes: dict[str, float], jobs: float = 1.0
) -> float:
    """How long so many jobs run in this play, one after the other.

    Args:
        time: how long each may.
        kind: of the jobs.
        random: draws.
        mistakes: of each kind, the same for all its jobs in this play; filled here.
        jobs: how many; at least one.
    """
    if kind not in mistakes:
        mistakes[kind] = random.gauss(0, 1)
    z = random.gauss(0, 1) / math.sqrt(jobs)
    spread = (time.high if z > 0 else -time.low) / Z90
    return jobs * math.exp(min(time.middle + spread * z + mistakes[kind] * time.shared, 40.0))


def left_of(slot: Busy, random: Random, mistakes: dict[str, float]) -> float:
    """How long the job of a slot goes on in this play."""
    if slot.job is None or slot.time is None:
        return 0.0
    if slot.left is not None:
        return slot.left * math.exp(random.gauss(0, PROGRESS_SPREAD))
    for _ in range(8):
        left = drawn(slot.time, slot.kind, random, mistakes) - slot.ran
        if left > 0:
            return left
    return 0.1 * slot.ran * random.expovariate(1.0)  # it runs longer than any like it
