"""Many jobs at once: their items are checked and stored in threads, and queued as one batch.

Nothing is queued until every item was looked at; then all of it is, in one transaction.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias, get_args, get_origin

from .batch import NewBatch
from .checks import JobOptions
from .errors import InvalidInputError, SetupError, SpecError, StoreError, UsageError
from .in_order import THREADS, in_order
from .inputs import shards
from .inputs.files import ImageFile
from .inputs.images import ImagesFile
from .inputs.items import Item, label
from .inputs.submission import InputChecks, take_in
from .kinds import make_spec
from .records import NewJob
from .text import count
from .views.models import JobModels

if TYPE_CHECKING:
    from .client import Client
    from .kinds.kind import Kind
    from .kinds.spec import Spec

MOST_JOBS = 250_000  # of one batch
MOST_EACH = 2_000  # items that get a job each, where nothing else is asked for
SHARD = 1_000  # items of a shard


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
        max_fails: how many items may fail until the rest is cancelled.
        single: whether many pictures share a job, in a shard; None: where there are very many.

    Raises:
        UsageError: this kind takes no batch, or an option is out of bounds.
    """

    kind: Kind
    values: Mapping[str, Any]
    options: JobOptions
    strict: bool = False
    max_fails: int | None = None
    single: bool | None = None

    def __post_init__(self) -> None:
        name, items = self.kind.name, self.kind.items
        if items is None:
            raise UsageError(f"{name} takes no batch: its kind names no field of items")
        if items in self.values:
            raise UsageError(f"{name}: the {items} of a batch are its items: give them once")
        if self.max_fails is not None and self.max_fails < 1:
            raise UsageError(f"max_fails {self.max_fails}: give at least 1")
        if self.single and not self.may_have_shards:
            raise UsageError(f"{name} has no shards of pictures: each of its items is a job")

    @property
    def may_have_shards(self) -> bool:
        """Whether a job's items may be those of a shard."""
        taken = get_args(self.kind.spec.model_fields[self.field].annotation)
        return any(isinstance(one, type) and issubclass(one, ImagesFile) for one in taken)

    def has_shards(self, items: int) -> bool:
        """Whether so many items go into shards."""
        many = self.single is None and items > MOST_EACH
        return self.may_have_shards and (many or bool(self.single))

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
        value = item.value
        if isinstance(value, list) and len(value) == 1 and not self._takes_lists:
            value = value[0]  # as a line of a list has it
        return make_spec(self.kind, {**self.values, self.field: value})

    @property
    def _takes_lists(self) -> bool:
        return get_origin(self.kind.spec.model_fields[self.field].annotation) in (list, tuple)

    def batch(self, prepared: Prepared) -> NewBatch:
        """The batch of these jobs.

        Raises:
            UsageError: nothing can be queued, or something cannot and `strict` is set.
        """
        jobs = prepared.jobs
        if not jobs:
            raise UsageError(f"{self.kind.name}: there are no items")
        if len(jobs) > MOST_JOBS:
            raise UsageError(f"{len(jobs)} jobs are too many: a batch has {MOST_JOBS} at most")
        refused = [job for job in jobs if job.error is not None]
        if refused and (self.strict or len(refused) == len(jobs)):
            raise UsageError(_refusal(refused, prepared))
        spec = {name: value for name, value in jobs[0].spec.items() if name != self.field}
        name, user = self.options.name, jobs[0].user
        return NewBatch(self.kind.name, user, spec, prepared.items, name, self.max_fails)


def _refusal(refused: list[NewJob], prepared: Prepared) -> str:
    total = prepared.items
    if len(refused) == len(prepared.jobs):
        which = f"none of {total} items can be used" if total > 1 else "the item cannot be used"
        return f"nothing was queued, as {which}: {refused[0].error}"
    which = f"{len(refused)} of {total} items cannot be used"
    more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
    return f"nothing was queued, as {which}: {refused[0].error}{more}"


@dataclass
class Prepared:
    """The jobs of a batch, in order, and how many items they have together."""

    jobs: list[NewJob] = field(default_factory=list)
    items: int = 0


def prepare(
    client: Client, bulk: Bulk, items: Iterable[Any], on_item: OnItem | None = None
) -> Prepared:
    """Check and store items, in threads; of bad items the jobs are failed ones.

    Raises:
        UsageError: what the jobs have in common is wrong.
        SetupError: the store cannot be written.
    """
    total = len(items) if isinstance(items, Sized) else None
    found = Prepared()
    with TemporaryDirectory(prefix="cvq-batch-") as scratch:
        rest = map(Item.of, items)
        seen, spec = _first(bulk, rest)
        if spec is None:
            return found
        maker = _Maker(client, bulk, spec, Path(scratch))
        if bulk.may_have_shards and bulk.single is None:
            seen += islice(rest, MOST_EACH + 1 - len(seen))
        each = chain(seen, rest)

        def look() -> None:
            if on_item is not None:
                on_item(found.items, total)

        if bulk.has_shards(len(seen)):
            made = in_order(maker.shard, _groups(each), look, ahead=2 * THREADS)
        else:
            made = in_order(maker.job, each, look)
        for job, number in made:
            found.jobs.append(job)
            found.items += number
            look()
    return found


def _groups(items: Iterator[Item]) -> Iterator[list[Item]]:
    while group := list(islice(items, SHARD)):
        yield group


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

    def job(self, number: int, item: Item) -> tuple[NewJob, int]:
        """The job of one item."""
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
            return self._job(item.name, given, said), 1
        return self._job(item.name, self._stored(found)), 1

    def shard(self, number: int, items: list[Item]) -> tuple[NewJob, int]:
        """The job of many items, whose files go into one; a failed one where none can be used."""
        name = label(f"{count(len(items), 'item')}: {items[0].name} … {items[-1].name}")
        with _folder(self._scratch / str(number)) as place:
            place.mkdir()
            path = place / f"shard-{number + 1:05}{shards.ENDING}"
            files = self._files(items, place / "item")
            root = _root([item.name for item in items])
            wrong = shards.write(path, files, in_order=True, root=root)
            spec = self._bulk.spec(Item(path.name, path)).model_copy(update=self._common)
            found = self._taken_in(spec, place, lambda name: name == self._bulk.field)
        error = None
        if len(wrong) == len(items):
            error = f"{wrong[0]} (and so on: none of {len(items)} can be used)"
        return self._job(name, self._stored(found), error), len(items)

    def _files(
        self, items: list[Item], place: Path
    ) -> Iterator[tuple[str, Path | shards.Problem]]:
        """The files of items, for as long as each is asked for."""
        for item in items:
            with _folder(place):
                yield item.name, self._file(item, place)

    def _file(self, item: Item, place: Path) -> Path | shards.Problem:
        """An item's file on this machine, or why there is none."""
        try:
            if item.error is not None:
                raise InvalidInputError(item.error)
            file = ImageFile.model_validate(self._on_disk(item, place).value)
            if file.address is not None:
                place.mkdir(exist_ok=True)
                file = file.fetch(place / "fetched", self._client.settings, download=True)
            if self._bulk.strict:
                from .pictures.images import check_image

                check_image(file.given_path, self._client.settings.max_pixels, item.name)
        except (UsageError, SetupError) as error:
            if self._bulk.strict:
                raise InvalidInputError(f"nothing was queued: {error}") from None
            return shards.Problem(_behind(item.name, str(error).replace(f"{place}{os.sep}", "")))
        return file.given_path

    def _stored(self, found: InputChecks) -> Any:
        return found.spec.model_dump(mode="json", include={self._bulk.field})[self._bulk.field]

    def _brought(self, item: Item, place: Path) -> Spec:
        if item.error is not None:
            raise InvalidInputError(item.error)
        item = self._on_disk(item, place)
        return self._bulk.spec(item).model_copy(update=self._common)

    def _on_disk(self, item: Item, place: Path) -> Item:
        if item.bring is None:
            return item
        place.mkdir()
        path = place / str(item.value)
        item.bring(path)
        return replace(item, value=path)

    def _taken_in(self, spec: Spec, place: Path, fields: Callable[[str], bool]) -> InputChecks:
        client = self._client
        return take_in(spec, fields, client.settings, self._models, client.artifacts, place)

    def _job(self, name: str, given: Any, error: str | None = None) -> NewJob:
        bulk, user = self._bulk, self._client.settings.user
        spec = {**self._json, bulk.field: given}
        job = bulk.options.job(bulk.kind, spec, user, self._waits_for)
        return replace(job, name=name, batch_key=self._key, error=error)


def _root(names: list[str]) -> str:
    """The folder that all names lie in, as they are written."""
    common = os.path.commonprefix(names)  # noqa: RUF071 - cut at a slash below
    return "".join(common.rpartition("/")[:2])


def _behind(name: str, error: str) -> str:
    """An error so that it reads on behind a name."""
    return error.removeprefix(f"{name} ") if error.startswith(name) else f"has none: {error}"


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    """A folder to be made where it is needed, and gone afterwards."""
    try:
        yield path
    finally:
        if path.exists():
            shutil.rmtree(path, ignore_errors=True)
