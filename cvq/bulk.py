"""Many jobs at once: their items are checked and stored in threads, and queued as one batch.

Nothing is queued until every item was looked at; then all of it is, in one transaction.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias

from .batch import NewBatch
from .checks import JobOptions
from .errors import InvalidInputError, SetupError, SpecError, StoreError, UsageError
from .inputs.items import Item
from .inputs.submission import InputChecks, take_in
from .kinds import make_spec
from .records import NewJob
from .views.models import JobModels

if TYPE_CHECKING:
    from .client import Client
    from .kinds.kind import Kind
    from .kinds.spec import Spec

MOST_JOBS = 250_000  # of one batch
_THREADS = min(16, 4 + (os.cpu_count() or 1))
_AHEAD = 16 * _THREADS  # items that are begun before the first of them is done
_LOOK_S = 0.1

OnItem: TypeAlias = Callable[[int, int | None], None]
"""Told how many items are done, and of how many where that is known; may raise to end it all."""


@dataclass(frozen=True)
class Bulk:
    """What is to be made of many items.

    Attributes:
        kind: of all the jobs.
        values: the other fields of their specifications.
        options: what each is submitted with; the name is the batch's.
        strict: refuse all where one item cannot be used.
        max_fails: how many jobs may fail until the rest is cancelled.

    Raises:
        UsageError: this kind takes no batch, or an option is out of bounds.
    """

    kind: Kind
    values: Mapping[str, Any]
    options: JobOptions
    strict: bool = False
    max_fails: int | None = None

    def __post_init__(self) -> None:
        name, field = self.kind.name, self.kind.items
        if field is None:
            raise UsageError(f"{name} takes no batch: its kind names no field of items")
        if field in self.values:
            raise UsageError(f"{name}: the {field} of a batch are its items: give them once")
        if self.max_fails is not None and self.max_fails < 1:
            raise UsageError(f"max_fails {self.max_fails}: give at least 1")

    @property
    def field(self) -> str:
        """Where in a specification the items are."""
        assert self.kind.items is not None
        return self.kind.items

    def spec(self, item: Item) -> Spec:
        """The specification of one item, its inputs as they were given.

        Raises:
            SpecError: a value is wrong.
        """
        return make_spec(self.kind, {**self.values, self.field: item.value})

    def batch(self, jobs: list[NewJob]) -> NewBatch:
        """The batch of these jobs.

        Raises:
            UsageError: nothing can be queued, or something cannot and `strict` is set.
        """
        if not jobs:
            raise UsageError(f"{self.kind.name}: there are no items")
        if len(jobs) > MOST_JOBS:
            raise UsageError(f"{len(jobs)} jobs are too many: a batch has {MOST_JOBS} at most")
        refused = [job for job in jobs if job.error is not None]
        if refused and (self.strict or len(refused) == len(jobs)):
            raise UsageError(_refusal(refused, len(jobs)))
        spec = {name: value for name, value in jobs[0].spec.items() if name != self.field}
        name, user = self.options.name, jobs[0].user
        return NewBatch(self.kind.name, user, spec, len(jobs), name, self.max_fails)


def _refusal(refused: list[NewJob], total: int) -> str:
    if len(refused) == total:
        which = f"none of {total} items can be used" if total > 1 else "the item cannot be used"
    else:
        which = f"{len(refused)} of {total} items cannot be used"
    more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
    return f"nothing was queued, as {which}: {refused[0].error}{more}"


def prepare(
    client: Client, bulk: Bulk, items: Iterable[Any], on_item: OnItem | None = None
) -> list[NewJob]:
    """Check and store items, in threads; return their jobs in order, of bad items failed ones.

    Raises:
        UsageError: what the jobs have in common is wrong.
        SetupError: the store cannot be written.
    """
    total = len(items) if isinstance(items, Sized) else None
    with TemporaryDirectory(prefix="cvq-batch-") as scratch:
        rest = map(Item.of, items)
        seen, spec = _first(bulk, rest)
        if spec is None:
            return []
        maker = _Maker(client, bulk, spec, Path(scratch))
        found: list[NewJob] = []
        for job in _in_order(maker, chain(seen, rest), lambda: _tell(on_item, len(found), total)):
            found.append(job)
            _tell(on_item, len(found), total)
        return found


def _tell(on_item: OnItem | None, done: int, total: int | None) -> None:
    if on_item is not None:
        on_item(done, total)


def _first(bulk: Bulk, items: Iterable[Item]) -> tuple[list[Item], Spec | None]:
    """The items up to the first whose specification is right, and this one.

    Raises:
        SpecError: what all jobs have in common is wrong, or no item is right.
    """
    seen: list[Item] = []
    wrong: SpecError | None = None
    for item in items:
        seen.append(item)
        try:
            return seen, bulk.spec(item)
        except SpecError as error:
            wrong = wrong or error
            if any(problem.field not in (None, bulk.field) for problem in error.problems):
                raise
    if wrong is not None:
        raise wrong
    return seen, None


class _Maker:
    """Makes the job of an item; what all jobs have in common was checked and stored once."""

    def __init__(self, client: Client, bulk: Bulk, first: Spec, scratch: Path) -> None:
        self._client, self._bulk, self._scratch = client, bulk, scratch
        self._models = JobModels(client.settings, lambda: client.db)
        with _folder(scratch / "common") as place:
            checked = self._taken_in(first, place, lambda name: name != bulk.field)
        for note in checked.notes:
            warnings.warn(note, stacklevel=5)
        fields = set(type(first).model_fields) - {bulk.field}
        self._common = {name: getattr(checked.spec, name) for name in fields}
        self._json = checked.spec.model_dump(mode="json", exclude={bulk.field})
        self._waits_for = checked.waits_for
        self._key = bulk.kind.batch_key(self._json)

    def __call__(self, number: int, item: Item) -> NewJob:
        given: Any = []
        try:
            with _folder(self._scratch / str(number)) as place:
                spec = self._brought(item, place)
                given = spec.model_dump(mode="json", include={self._bulk.field})[self._bulk.field]
                found = self._taken_in(spec, place, lambda name: name == self._bulk.field)
        except (UsageError, SetupError) as error:
            if isinstance(error, StoreError):
                raise
            said = str(error).replace(f"{self._scratch / str(number)}{os.sep}", "")
            return self._job(item, given, said)
        stored = found.spec.model_dump(mode="json", include={self._bulk.field})
        return self._job(item, stored[self._bulk.field])

    def _brought(self, item: Item, place: Path) -> Spec:
        if item.error is not None:
            raise InvalidInputError(item.error)
        if item.bring is not None:
            place.mkdir()
            path = place / str(item.value)
            item.bring(path)
            item = replace(item, value=path)
        return self._bulk.spec(item).model_copy(update=self._common)

    def _taken_in(self, spec: Spec, place: Path, fields: Callable[[str], bool]) -> InputChecks:
        client = self._client
        return take_in(spec, fields, client.settings, self._models, client.artifacts, place)

    def _job(self, item: Item, given: Any, error: str | None = None) -> NewJob:
        bulk, user = self._bulk, self._client.settings.user
        spec = {**self._json, bulk.field: given}
        job = bulk.options.job(bulk.kind, spec, user, self._waits_for)
        return replace(job, name=item.name, batch_key=self._key, error=error)


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    """A folder to be made where it is needed, and gone afterwards."""
    try:
        yield path
    finally:
        if path.exists():
            shutil.rmtree(path, ignore_errors=True)


def _in_order(
    work: Callable[[int, Item], NewJob], items: Iterable[Item], look: Callable[[], None]
) -> Iterator[NewJob]:
    """The jobs of items, in order; a few at a time, so that an endless source fills no memory.

    `look` is called now and then while none is done.
    """
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="cvq-store")
    begun: deque[Future[NewJob]] = deque()
    try:
        for number, item in enumerate(items):
            begun.append(pool.submit(work, number, item))
            while begun and (begun[0].done() or len(begun) >= _AHEAD):
                yield _result(begun.popleft(), look)
        while begun:
            yield _result(begun.popleft(), look)
    finally:
        pool.shutdown(cancel_futures=True)


def _result(future: Future[NewJob], look: Callable[[], None]) -> NewJob:
    while True:
        try:
            return future.result(_LOOK_S)
        except NotYetError:
            if future.done():  # it was its own
                raise
            look()
