"""The jobs that have not begun, as entries of a simulation; a bounded number is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Select,
    Text,
    func,
    literal,
    literal_column,
    select,
    tuple_,
)

from .. import queries
from .. import tables as t
from ..given import among
from ..lifecycle import order
from ..matching import Needs
from ..states import State
from .features import features_of
from .history import UNKNOWN, Laws, spec_of
from .run_time import Spread
from .simulation import Arrivals, Entry, Turn
from .slots import Slots

MOST_AHEAD = 600  # jobs of a queue that are looked at one by one
_MOST_WAITING = 200
_MOST_COUNTED = 200_000
_SAMPLE = 100  # of the jobs behind those that are looked at
_LUMPS = 300  # in which those count
_MOST_OWNERS = 200  # users of a queue, of each priority, whose last jobs are looked up
_NEWEST = 60  # jobs that tell how often some are submitted
_FEWEST = 3  # submissions that tell it
_TOGETHER_S = 2.0  # a user's jobs within this time are one submission


@dataclass
class Queue:
    """Makes entries of jobs.

    Attributes:
        connection: reads only.
        now: the moment.
        laws: of run times.
        slots: where jobs run.
        unknown: how many of the jobs that were looked at are of a kind without a history.
        counted: whether some were counted, and not looked at.
    """

    connection: Connection
    now: datetime
    laws: Laws
    slots: Slots
    unknown: int = 0
    counted: bool = False
    _places: dict[tuple[str, str], int] = field(default_factory=dict)
    _able: dict[int, frozenset[int]] = field(default_factory=dict)

    def entry(self, row: Any, *, exact: bool = False, after: Iterable[int] = ()) -> Entry:
        """A job as an entry.

        Args:
            row: has the columns that `_columns` names, as a `records.Job` has.
            exact: predict its time as well as it can be, as it is asked about.
            after: jobs that it waits for.
        """
        spec = row.spec if isinstance(row.spec, dict) else {}
        place = self._place(row.queue, Needs(row.device, row.kind, frozenset(spec)))
        times = self.times(row.kind, spec, self._able[place], exact=exact)
        self.unknown += UNKNOWN in times.values()
        ready = (row.not_before - self.now).total_seconds() if row.not_before else 0.0
        return Entry(
            row.id,
            Turn(-row.priority, row.fair_rank, row.id),
            row.queue,
            place,
            row.user,
            times,
            row.kind,
            max(0.0, ready),
            frozenset(after),
            self._share(row.kind) if row.batch_key else 1.0,
        )

    def able(self, entry: Entry) -> frozenset[int]:
        """The classes of slots that can run a job."""
        return self._able[entry.place]

    @property
    def served(self) -> dict[int, list[int]]:
        """For each class of slots, the places whose jobs it can run."""
        return {
            index: [place for place, able in self._able.items() if index in able]
            for index in range(len(self.slots.classes))
        }

    def rivals(self, queue: str) -> set[str]:
        """A queue, and the others of workers that serve it."""
        others = (slot.queues for slot in self.slots.classes if queue in slot.queues)
        return {queue}.union(*others)

    def times(
        self, kind: str, spec: Mapping[str, Any], classes: Iterable[int], *, exact: bool
    ) -> dict[int, Spread]:
        """How long a job runs on each of some classes of slots."""
        features = features_of(spec)
        found = {}
        for index in classes:
            slot = self.slots.classes[index]
            law = self.laws.of(kind, gpu=slot.gpu)
            if law is None:
                found[index] = UNKNOWN
                continue
            predict = law.times.predict if exact else law.times.predict_roughly
            found[index] = predict({**features, **slot.where})
        return found

    def _share(self, kind: str) -> float:
        """Which part of its time a small job takes of a slot, as others run beside it."""
        laws = [self.laws.of(kind, gpu=gpu) for gpu in {slot.gpu for slot in self.slots.classes}]
        return 1 / max([1.0, *(law.together for law in laws if law is not None)])

    def _place(self, queue: str, needs: Needs) -> int:
        key = (queue, needs.key)
        if key not in self._places:
            place = self._places[key] = len(self._places)
            self._able[place] = self.slots.able(queue, needs)
        return self._places[key]

    # ------------------------------------------------------------------------ who is ahead

    def ahead(self, queue: str, last: Turn, targets: Sequence[Turn] = ()) -> list[Entry]:
        """The queued jobs of a queue up to a turn; of many, some stand for all.

        Args:
            queue: of the jobs.
            last: how far they matter.
            targets: the turns of those of this queue that are asked about.
        """
        rows = self._rows(order.in_turn(queue, *self._columns), MOST_AHEAD + 1)
        entries = [self.entry(row) for row in rows[:MOST_AHEAD]]
        if len(rows) > MOST_AHEAD and entries[-1].turn < last:
            far = [turn for turn in targets if turn > entries[-1].turn] or [last]
            entries += self._rest(queue, sorted({min(far), max(far)}))
        return entries

    def _rest(self, queue: str, stops: Sequence[Turn]) -> list[Entry]:
        """Some jobs that stand for all those behind the ones that were looked at."""
        found: list[Entry] = []
        counted = MOST_AHEAD
        for stop in stops:
            number = self._count(queue, stop) - counted
            if number > 0:
                found += self._lumps(queue, stop, number)
                counted += number
        self.counted = True
        return found

    def _lumps(self, queue: str, stop: Turn, number: int) -> list[Entry]:
        before = order.in_turn(queue, *self._columns, before=_values(stop), backwards=True)
        sample = [self.entry(row) for row in self._rows(before, _SAMPLE)]
        if not sample:
            return []
        lumps = min(_LUMPS, number)
        turn = stop._replace(id=stop.id - 1)
        return [
            replace(
                sample[place % len(sample)],
                id=-1,
                turn=turn,
                weight=sample[place % len(sample)].weight * number / lumps,
            )
            for place in range(lumps)
        ]

    def _count(self, queue: str, stop: Turn) -> int:
        some = order.in_turn(queue, t.jobs.c.id, before=_values(stop)).order_by(None)
        counted = select(func.count()).select_from(some.limit(_MOST_COUNTED).subquery())
        return int(self.connection.scalar(counted) or 0)

    def _rows(self, query: Any, most: int) -> list[Any]:
        return list(self.connection.execute(query.limit(most)).all())

    @property
    def _columns(self) -> list[Any]:
        """What is read of a job that has not begun."""
        jobs = t.jobs.c
        return [
            jobs.id, jobs.queue, jobs.priority, jobs.fair_rank, jobs.user, jobs.kind, jobs.device,
            jobs.not_before, jobs.batch_key, spec_of(self.connection),
        ]  # fmt: skip

    # ------------------------------------------------------------------------ who will come

    def pending(self, waiting: Sequence[int], queued: Sequence[int] = ()) -> list[Entry]:
        """Jobs that are asked about, what they wait for, and some others that wait.

        Args:
            waiting: those asked about that wait for a time or for others, or will.
            queued: those asked about that are queued.
        """
        jobs = t.jobs.c
        awaited = {row.id for job in waiting for row in queries.awaited_by(self.connection, job)}
        some = select(jobs.id).where(t.in_state(State.WAITING)).order_by(jobs.not_before)
        ids = {*waiting, *queued, *awaited, *self.connection.scalars(some.limit(_MOST_WAITING))}
        parents = self._parents(ids)
        ids.update(*parents.values())
        parents |= self._parents(ids.difference(parents))
        asked = {*waiting, *queued}
        query = select(*self._columns, jobs.state).where(
            among(jobs.id, ids), t.in_state(State.WAITING, State.QUEUED)
        )
        return [
            self.entry(
                row,
                exact=row.id in asked,
                after=parents.get(row.id, ()) if row.state == State.WAITING else (),
            )
            for row in self.connection.execute(query).all()
        ]

    def _parents(self, ids: Iterable[int]) -> dict[int, set[int]]:
        """The jobs that each of some has yet to wait for."""
        links = t.dependencies.c
        found: dict[int, set[int]] = {}
        query = (
            select(links.job_id, links.parent_id)
            .join(t.jobs, t.jobs.c.id == links.parent_id)
            .where(among(links.job_id, list(ids)), t.jobs.c.state != State.SUCCEEDED)
        )
        for job, parent in self.connection.execute(query).all():
            found.setdefault(job, set()).add(parent)
        return found

    def arrivals(self, queues: Iterable[str]) -> Arrivals:
        """What is submitted to some queues, and how often, by the newest submissions."""
        jobs = t.jobs.c
        newest = (
            select(*self._columns, jobs.created_at, jobs.batch)
            .where(jobs.created_at <= self.now)
            .order_by(jobs.id.desc())
        )
        rows = self._rows(newest, _NEWEST)
        wanted = set(queues)
        groups: list[list[Any]] = []
        for row in rows:
            if groups and _together(row, groups[-1][-1]):
                groups[-1].append(row)
            else:
                groups.append([row])
        mine = [[row for row in group if row.queue in wanted] for group in groups]
        samples = [
            [replace(self.entry(row), id=-1, ready=0.0) for row in group]
            for group in mine
            if group
        ]
        if len(samples) < _FEWEST:
            return Arrivals()
        span = (self.now - min(row.created_at for row in rows)).total_seconds()
        return Arrivals(max(span, 1.0) / len(samples), samples)

    def last_ranks(self, queues: Iterable[str]) -> dict[tuple[str, int, str], int]:
        """By queue, falling priority and user, the highest turn that is queued or running.

        However many jobs there are, each is one look into an index; of very many users, those of
        the highest priorities are looked up.
        """
        found: dict[tuple[str, int, str], int] = {}
        for queue in queues:
            level: tuple[int, str] | None = None
            for _ in range(_MOST_OWNERS):
                row = self.connection.execute(_last_of_owner(queue, level)).one_or_none()
                if row is None or None in row:
                    break
                level = (row.priority, row.user)
                found[queue, -row.priority, row.user] = row.fair_rank
        return found


def _last_of_owner(queue: str, below: tuple[int, str] | None) -> Select[Any]:
    """The last job of the next user below a priority and a user, in the order of an index."""
    jobs = t.jobs.c
    query = select(jobs.priority, jobs.user, jobs.fair_rank).where(
        jobs.queue == queue, t.in_state(State.QUEUED, State.RUNNING)
    )
    if below is not None:
        priority, user = below
        level = tuple_(literal(priority, BigInteger), literal(user, Text))
        query = query.where(tuple_(jobs.priority, jobs.user) < level)
    by_owner = (jobs.priority.desc(), jobs.user.desc(), jobs.fair_rank.desc())
    return query.order_by(*by_owner).limit(literal_column("1"))


def _values(turn: Turn) -> tuple[int, int, int]:
    """A turn as the columns have it."""
    return (-turn.falling_priority, turn.rank, turn.id)


def _together(row: Any, newer: Any) -> bool:
    """Whether two jobs, of which one is the next newer, were one submission."""
    if row.batch is not None or newer.batch is not None:
        return bool(row.batch == newer.batch)
    apart = (newer.created_at - row.created_at).total_seconds()
    return bool(row.user == newer.user and apart < _TOGETHER_S)
