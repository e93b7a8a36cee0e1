"""How an estimate is made: the laws of run times, the queue, and what came of playing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import Any, NamedTuple, TypeAlias, TypeVar

from sqlalchemy import Connection

from .. import queries
from ..lifecycle import order
from ..records import Job, NewJob
from ..states import State
from ..text import count
from .estimate import Estimate, Range
from .features import features_of
from .history import UNKNOWN, Law, Laws
from .queue import Queue
from .run_time import Spread
from .simulation import Entry, Ran, Scene, left_of, play
from .slots import Slots

T = TypeVar("T")
NOBODY = "no worker that is up can run it"
_WORK = 30_000  # jobs that are played, in all plays together
_FEWEST_PLAYS, _MOST_PLAYS = 24, 120
_MOST_ENTRIES = 1_000  # of new jobs; of more, each stands for several
_EXACT = 20  # of them, that are predicted as well as can be
_SHARES = [(place + 0.5) / 20 for place in range(20)]  # of a distribution
_UNKNOWN = 0.25  # share of the jobs ahead
_NEW = 1 << 60  # ids of jobs that are not there yet begin here


class _Wanted(NamedTuple):
    """A job that is asked about."""

    entry: Entry
    spec: Mapping[str, Any]
    device: str | None


_Known: TypeAlias = tuple[Law, bool]  # and whether it is one of GPUs


class _Plays(NamedTuple):
    """What came of playing the queue; `unknown` of the `others` have no history."""

    played: list[dict[int, Ran]]
    unknown: int = 0
    others: int = 0

    @property
    def tell_nothing(self) -> bool:
        """Whether too much of what is ahead is not known."""
        return self.unknown > _UNKNOWN * self.others


class Estimating:
    """What is read once for all jobs that are asked about.

    Args:
        connection: reads only.
        asked: their kind; None of several.
        now: instead of the database's time.
    """

    def __init__(
        self, connection: Connection, asked: str | None = None, now: datetime | None = None
    ) -> None:
        self._connection = connection
        self._now = now or queries.database_time(connection)
        self._laws = Laws(connection, asked)
        self._slots = Slots(connection, self._now, self._laws)
        self._queue = Queue(connection, self._now, self._laws, self._slots)
        self._random = Random(0)  # noqa: S311 - the same estimate of the same queue

    # ------------------------------------------------------------------------ one that runs

    def of_running(self, job: Job) -> Estimate:
        """How long a running job goes on."""
        told = Estimate(kind=job.kind, jobs=1, now=self._now)
        busy = next((slot for slot in self._slots.busy if slot.job == job.id), None)
        if busy is None:
            return replace(told, notes=("it runs together with others",))
        slot = self._slots.classes[busy.slot_class] if busy.slot_class >= 0 else None
        law = None if slot is None else self._laws.of(job.kind, gpu=slot.gpu)
        if slot is not None and law is not None:
            features = {**features_of(job.spec), **slot.where}
            busy = replace(busy, time=law.times.predict(features))
        elif busy.left is None:
            return replace(told, notes=(_no_history(job.kind, job.device),))
        left = Range.of(left_of(busy, self._random, {}) for _ in range(_MOST_PLAYS))
        time = Range(*(busy.ran + seconds for seconds in left))
        gpu = slot is not None and slot.gpu
        return replace(
            told,
            time=time,
            end=left,
            gpu_hours=Range(*(seconds / 3600 if gpu else 0.0 for seconds in time)),
            based_on=0 if law is None else law.times.count,
        )

    # ------------------------------------------------------------------------ those that do not

    def of_pending(self, jobs: Sequence[Job]) -> dict[int, Estimate]:
        """When jobs that have not begun will start."""
        if not jobs:
            return {}
        waiting = [job.id for job in jobs if job.state == State.WAITING]
        queued = [job.id for job in jobs if job.state == State.QUEUED]
        entries = {entry.id: entry for entry in self._queue.pending(waiting, queued)}
        wanted = {
            job.id: _Wanted(entries[job.id], job.spec, job.device)
            for job in jobs
            if job.id in entries  # else it has begun meanwhile
        }
        plays = self._play([each.entry for each in wanted.values()], list(entries.values()))
        return {job_id: self._told([each], plays, 1) for job_id, each in wanted.items()}

    def of_batch(self, first: Job, last: Sequence[Job], total: int, *, begun: bool) -> Estimate:
        """When the last of a batch's jobs will have ended.

        Args:
            first: the first of those that have not begun.
            last: the last few of them.
            total: how many they are.
            begun: whether others have begun.
        """
        jobs = {job.id: job for job in [first, *last]}
        waiting = [job.id for job in jobs.values() if job.state == State.WAITING]
        queued = [job.id for job in jobs.values() if job.state == State.QUEUED]
        entries = {entry.id: entry for entry in self._queue.pending(waiting[:1], queued)}
        wanted = [
            _Wanted(entries[job.id], job.spec, job.device)
            for job in jobs.values()
            if job.id in entries
        ]
        if not wanted:  # they have begun meanwhile
            return Estimate(kind=first.kind, jobs=total, now=self._now)
        plays = self._play([each.entry for each in wanted], list(entries.values()))
        told = self._told(wanted, plays, total)
        hours = told.gpu_hours
        if hours is not None:
            hours = Range(*(total / len(wanted) * each for each in hours))
        return replace(told, gpu_hours=hours, start=None if begun else told.start)

    def of_new(self, jobs: Sequence[NewJob], total: int) -> Estimate:
        """The same of jobs that are not there yet, all alike but for their specifications."""
        first = jobs[0]
        some = _spread_out(jobs, _MOST_ENTRIES)
        rank = order.new_rank(self._connection, first.queue, first.priority, first.user)
        parents = queries.get_jobs(self._connection, first.after) if first.after else []
        after = [job.id for job in parents if job.state != State.SUCCEEDED]
        wanted = []
        for place, job in enumerate(some):
            row = _Row(job, rank + place, _NEW + place)
            entry = self._queue.entry(row, exact=place < _EXACT, after=after)
            weight = entry.weight * total / len(some)
            wanted.append(_Wanted(replace(entry, weight=weight), job.spec, job.device))
        others = self._queue.pending(after) if after else []
        plays = self._play([each.entry for each in wanted], others)
        return self._told(wanted, plays, total)

    def _play(self, wanted: Sequence[Entry], known: Sequence[Entry]) -> _Plays:
        """Play the queue to where all that are wanted have started."""
        fit = [entry for entry in wanted if self._queue.able(entry)]
        if not fit:
            return _Plays([])
        lanes = set().union(*(self._queue.rivals(entry.lane) for entry in fit))
        last = max(entry.turn for entry in fit)
        entries = {entry.id: entry for entry in [*known, *wanted]}
        more = []
        for lane in sorted(lanes):
            targets = [entry.turn for entry in fit if entry.lane == lane]
            for entry in self._queue.ahead(lane, last, targets):
                if entry.id not in entries:
                    more.append(entry)
        scene = Scene(
            slots=self._slots.busy,
            queue=[*entries.values(), *more],
            targets=frozenset(entry.id for entry in fit),
            arrivals=self._queue.arrivals(lanes),
            last_ranks=self._queue.last_ranks(lanes),
            places=self._queue.served,  # the last, as all others may add to them
        )
        others = [entry for entry in scene.queue if entry.id not in scene.targets]
        unknown = sum(UNKNOWN in entry.times.values() for entry in others)
        unknown += sum(slot.time is UNKNOWN and slot.left is None for slot in scene.slots)
        busy = sum(slot.job is not None for slot in scene.slots)
        number = _WORK // (len(scene.queue) + len(scene.slots))
        number = max(_FEWEST_PLAYS, min(_MOST_PLAYS, number))
        played = [play(scene, self._random) for _ in range(number)]
        return _Plays(played, unknown, len(others) + busy)

    # ------------------------------------------------------------------------ what is told

    def _told(self, wanted: Sequence[_Wanted], plays: _Plays, total: int) -> Estimate:
        kind = wanted[0].entry.kind
        ids = [each.entry.id for each in wanted]
        whole = [
            [play[job_id] for job_id in ids]
            for play in plays.played
            if all(job_id in play for job_id in ids)
        ]
        spreads, laws = self._spreads(wanted)
        start = end = time = hours = None
        if whole and not plays.tell_nothing:
            start = Range.of(min(ran.start for ran in rans) for rans in whole)
        if spreads:
            time = Range.of(spread.seconds(share) for spread in spreads for share in _SHARES)
            hours = self._gpu_hours(whole, spreads, laws, total)
            if start is not None:
                end = Range.of(max(ran.end for ran in rans) for rans in whole)
        return Estimate(
            kind=kind, jobs=total, now=self._now, time=time, start=start, end=end,
            gpu_hours=hours, based_on=max((law.times.count for law, _ in laws), default=0),
            notes=tuple(self._notes(wanted, plays, spreads, started=bool(whole))),
        )  # fmt: skip

    def _spreads(self, wanted: Sequence[_Wanted]) -> tuple[Sequence[Spread], Sequence[_Known]]:
        """How long some of the jobs run, where they may; with the laws that tell it."""
        able = self._queue.able(wanted[0].entry)
        kind = wanted[0].entry.kind
        if not able:
            found = self._laws.anywhere(kind, wanted[0].device)
            if found is None:
                return [], []
            some = _spread_out(wanted, _EXACT)
            return [found[0].times.predict(features_of(each.spec)) for each in some], [found]
        sorts = {self._slots.classes[index].gpu for index in able}
        laws = [(law, gpu) for gpu in sorts if (law := self._laws.of(kind, gpu=gpu)) is not None]
        spreads = [
            time
            for each in _spread_out(wanted, _EXACT)
            for slot in self._slots.busy
            if (time := each.entry.times.get(slot.slot_class)) not in (None, UNKNOWN)
        ]
        return _spread_out(spreads, 200), laws

    def _gpu_hours(
        self,
        whole: Sequence[Sequence[Ran]],
        spreads: Sequence[Spread],
        laws: Sequence[_Known],
        total: int,
    ) -> Range:
        """What all jobs together take of GPUs, those that run on one."""
        if not any(gpu for _, gpu in laws):
            return Range(0.0, 0.0, 0.0)
        if not whole:
            hours = [
                total * spread.seconds(share) / 3600 for spread in spreads for share in _SHARES
            ]
            return Range.of(hours)
        gpus = {index for index, slot in enumerate(self._slots.classes) if slot.gpu}
        return Range.of(
            sum((ran.end - ran.start) / 3600 for ran in rans if ran.slot_class in gpus)
            for rans in whole
        )

    def _notes(
        self,
        wanted: Sequence[_Wanted],
        plays: _Plays,
        spreads: Sequence[Spread],
        *,
        started: bool,
    ) -> list[str]:
        entry, device = wanted[0].entry, wanted[0].device
        notes = []
        if not spreads:
            notes.append(_no_history(entry.kind, device))
        if not self._queue.able(entry):
            notes.append(NOBODY)
        elif not started:
            notes.append("it waits for a job that does not start")
        elif plays.tell_nothing:
            notes.append(f"of {count(plays.unknown, 'job')} ahead nothing is known")
        if unlike := sorted({field for spread in spreads for field in spread.unlike}):
            notes.append(f"none before had this {', '.join(unlike[:3])}")
        if self._queue.counted and started:
            notes.append("of a queue this long most is counted, not looked at")
        return notes


class _Row:
    """A job that might be submitted, as a row of one that is queued."""

    def __init__(self, job: NewJob, rank: int, job_id: int) -> None:
        self.id, self.fair_rank = job_id, rank
        self.queue, self.priority, self.user = job.queue, job.priority, job.user
        self.kind, self.device, self.spec = job.kind, job.device, job.spec
        self.not_before, self.batch_key = job.not_before, job.batch_key


def _no_history(kind: str, device: str | None) -> str:
    where = {"gpu": " on a GPU", "cpu": " on a CPU"}.get(device or "", "")
    return f"no {kind} job has succeeded{where} yet"


def _spread_out(values: Sequence[T], most: int) -> Sequence[T]:
    """At most so many of some values, evenly from all of them."""
    if len(values) <= most:
        return values
    return [values[place * len(values) // most] for place in range(most)]
