"""Which jobs a prune removes, and why others stay that were chosen.

A batch goes as a whole: who reads its results finds each item. A job goes alone, unless another
that stays uses it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import ColumnElement, Connection, func, select, true

from .. import queries
from .. import tables as t
from ..artifacts import ArtifactStore
from ..db import Database
from ..given import among
from ..lifecycle.prune import unused, uses
from ..manifests import ManifestError
from ..views.answers import Answers
from .choice import Choice

CHUNK = 1_000  # jobs that are looked at together
USED = "in use by jobs that stay"
OF_BATCH = "of a batch of which others stay"
KNOWN = "with answers for a later batch"

Tick = Callable[[int, int], None]
"""Told how many are done, and of how many; may raise to end it all."""


@dataclass(frozen=True)
class Unit:
    """What goes together: the jobs of a batch, or one or several that are of none."""

    jobs: Sequence[int]
    batch: int | None = None


@dataclass
class Plan:
    """What is to go, the newest first, and how many were chosen and stay, by why.

    Attributes:
        units: what is to go.
        stays: how many jobs stay that were chosen, by the reason.
        seen: the batches with known items that were looked at.
        still: what a job must still be when it goes. It is made once: what its names mean hangs
            on what the history has, which becomes less.
    """

    units: list[Unit] = field(default_factory=list)
    stays: Counter[str] = field(default_factory=Counter)
    seen: set[int] = field(default_factory=set)
    still: ColumnElement[bool] = field(default_factory=true)

    @property
    def jobs(self) -> list[int]:
        """The jobs that are to go."""
        return [job for unit in self.units for job in unit.jobs]

    @property
    def batches(self) -> list[int]:
        """The batches that are to go."""
        return [unit.batch for unit in self.units if unit.batch is not None]


def make(database: Database, artifacts: Callable[[], ArtifactStore], choice: Choice,
         tick: Tick) -> Plan:  # fmt: skip
    """Find out what goes.

    Args:
        database: of the jobs.
        artifacts: asked only where the manifests of batches are needed.
        choice: which jobs are meant.
        tick: told how many of the chosen were looked at.
    """
    with database.read() as connection:
        chosen, still = choice.ids(connection), choice.condition(connection)
        stays = Counter(choice.stays(connection))
        batches = dict(_batches(connection, chosen))
        empty = [Unit((), batch) for batch in choice.batches(connection)]
    plan, going = Plan(stays=stays, still=still), set[int]()
    with TemporaryDirectory(prefix="cvq-prune-") as folder:
        answering = _Answering(database, artifacts, Path(folder), plan.seen)
        done = 0
        for unit in [*empty, *_units(chosen, batches)]:
            with database.read() as connection:
                left = _left(connection, unit, going, answering, plan.stays)
            if left is not None:
                plan.units.append(left)
                going.update(left.jobs)
            done += len(unit.jobs)
            tick(done, len(chosen))
    plan.stays = Counter({why: number for why, number in plan.stays.items() if number})
    return plan


def _left(
    connection: Connection,
    unit: Unit,
    going: Collection[int],
    answering: _Answering,
    stays: Counter[str],
) -> Unit | None:
    """What of a unit may go; how many stay is added to `stays`."""
    if unit.batch is None:
        free = unused(unit.jobs, uses(connection, unit.jobs), going)
        stays[USED] += len(unit.jobs) - len(free)
        return Unit(free) if free else None
    if why := _why_batch_stays(connection, unit, going, answering):
        stays[why] += len(unit.jobs)
        return None
    return unit


def _batches(connection: Connection, ids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The jobs that are of batches, with these."""
    jobs = t.jobs.c
    for start in range(0, len(ids), CHUNK):
        of = select(jobs.id, jobs.batch).where(
            among(jobs.id, ids[start : start + CHUNK]), jobs.batch.is_not(None)
        )
        yield from (tuple(row) for row in connection.execute(of))


def _units(ids: Sequence[int], batches: dict[int, int]) -> Iterator[Unit]:
    """The jobs as they may go, the newest first: a batch comes in the place of its newest."""
    members: dict[int, list[int]] = {}
    for job in ids:
        if job in batches:
            members.setdefault(batches[job], []).append(job)
    alone: list[int] = []
    for job in ids:
        if job in batches and (of := members.pop(batches[job], None)) is None:
            continue
        if job not in batches:
            alone.append(job)
        if len(alone) >= CHUNK or (job in batches and alone):
            yield Unit(alone)
            alone = []
        if job in batches:
            yield Unit(of or (), batches[job])
    if alone:
        yield Unit(alone)


def _why_batch_stays(
    connection: Connection, unit: Unit, going: Collection[int], answering: _Answering
) -> str | None:
    """Why a batch stays; None of one that may go."""
    jobs = t.jobs.c
    all_of_it = select(func.count()).where(jobs.batch == unit.batch)
    if connection.scalar(all_of_it) != len(unit.jobs):
        return OF_BATCH
    for start in range(0, len(unit.jobs), CHUNK):
        some = unit.jobs[start : start + CHUNK]
        own = set(some)
        if any(user not in going and user not in own for _, user in uses(connection, some)):
            return USED
    assert unit.batch is not None
    return KNOWN if answering.needs(connection, unit) else None


class _Answering:
    """Which jobs answer items of batches that stay.

    Only batches of the same kind, model and parameters answer each other's items: of these, those
    that stay are asked, by their manifests.
    """

    def __init__(
        self,
        database: Database,
        artifacts: Callable[[], ArtifactStore],
        scratch: Path,
        seen: set[int],
    ) -> None:
        self._database, self._artifacts, self._scratch = database, artifacts, scratch
        self._seen = seen
        self._going: set[int] = set()
        self._answers: dict[int, set[int]] = {}  # of each batch, the jobs that answer its items

    def needs(self, connection: Connection, unit: Unit) -> bool:
        """Whether a batch that stays needs one of these; one that does not, may go."""
        b = t.batches.c
        key = connection.scalar(select(b.cache_key).where(b.id == unit.batch))
        if key is not None:
            same = select(b.id).where(b.cache_key == key, b.known > 0, b.id != unit.batch)
            others = list(connection.scalars(same.order_by(b.id)))
            self._seen.update(others)
            own = set(unit.jobs)
            if any(own & self._of(other) for other in others if other not in self._going):
                return True
        assert unit.batch is not None
        self._going.add(unit.batch)
        return False

    def _of(self, batch_id: int) -> set[int]:
        if batch_id not in self._answers:
            with self._database.read() as connection:
                batch = queries.get_batch(connection, batch_id)
            answers = Answers(self._database, self._artifacts(), self._scratch)
            try:
                with answers.manifest(batch) as manifest:
                    self._answers[batch_id] = set(manifest.earlier())
            except ManifestError:  # nobody reads its items any more
                self._answers[batch_id] = set()
        return self._answers[batch_id]
