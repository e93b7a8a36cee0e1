"""Many jobs at once: their items are checked and stored in threads, and queued as one batch.

Nothing is queued until every item was looked at; then all of it is, in one transaction.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sized
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar, get_args, get_origin

from .batch import NewBatch
from .checks import JobOptions
from .errors import InvalidInputError, SetupError, SpecError, StoreError, UsageError
from .in_order import THREADS, here_or_in_order, in_order
from .inputs import shards
from .inputs.contents import digest_of
from .inputs.images import ImagesFile
from .inputs.items import Item, label
from .inputs.models import ModelFile
from .inputs.submission import InputChecks, take_in
from .kinds import make_spec
from .kinds.spec import files_in
from .known import LOOKED_UP_AT_ONCE, QUICK_S, Answer, Known, Seen, looked_for
from .lifecycle.values import storable
from .manifests import Entry, Writer
from .packing import Packer, Taken, folder
from .records import NewJob
from .text import count
from .views.models import JobModels

if TYPE_CHECKING:
    from .artifacts import ArtifactStore
    from .client import Client
    from .kinds.kind import Kind
    from .kinds.spec import Spec

MOST_JOBS = 250_000  # of one batch
MOST_EACH = 2_000  # items that get a job each, where nothing else is asked for
SHARD = 1_000  # items of a shard
_ERRORS = 100  # that are told

T = TypeVar("T")
# A job, where one is needed, and its items.
_Made: TypeAlias = tuple[NewJob | None, list[Taken]]
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
        cache: whether items that an earlier batch has answered are left to that.
        dry: look at all items, and store none.

    Raises:
        UsageError: this kind takes no batch, or an option is out of bounds.
    """

    kind: Kind
    values: Mapping[str, Any]
    options: JobOptions
    strict: bool = False
    max_fails: int | None = None
    single: bool | None = None
    cache: bool = True
    dry: bool = False

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

    def batch(self, prepared: Prepared, user: str) -> NewBatch:
        """The batch of these jobs, submitted by this user.

        Raises:
            UsageError: nothing can be queued, or something cannot and `strict` is set.
        """
        jobs = prepared.jobs
        if not prepared.items:
            raise UsageError(f"{self.kind.name}: there are no items")
        known = prepared.known.total()
        refused = [job for job in jobs if job.error is not None]
        if refused and (self.strict or (len(refused) == len(jobs) and not known)):
            raise UsageError(_refusal(refused, prepared))
        return NewBatch(
            self.kind.name,
            user,
            prepared.spec,
            prepared.items,
            self.options.name,
            self.max_fails,
            prepared.cache_key,
            prepared.manifest,
            known,
        )


def _refusal(refused: list[NewJob], prepared: Prepared) -> str:
    total = prepared.items
    if len(refused) == len(prepared.jobs) and not prepared.known:
        which = f"none of {total} items can be used" if total > 1 else "the item cannot be used"
        return f"nothing was queued, as {which}: {refused[0].error}"
    which = f"{len(refused)} of {total} items cannot be used"
    more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
    return f"nothing was queued, as {which}: {refused[0].error}{more}"


@dataclass
class Prepared:
    """The jobs of a batch, in order, and what is known of its items.

    Attributes:
        jobs: of the items that are to be computed, or that cannot be used.
        items: how many there are, those that are known too.
        known: how many each earlier batch has answered.
        spec: what the jobs' specifications have in common, as JSON.
        cache_key: see `NewBatch`.
        manifest: its SHA-256 in the store.
        bad: how many items cannot be used.
        errors: why the first of these cannot.
    """

    jobs: list[NewJob] = field(default_factory=list)
    items: int = 0
    known: Counter[int] = field(default_factory=Counter)
    spec: dict[str, Any] = field(default_factory=dict)
    cache_key: str | None = None
    manifest: str | None = None
    bad: int = 0
    errors: list[str] = field(default_factory=list)

    def refuse(self, name: str, row: int | None, error: str) -> None:
        """Take down why an item cannot be used; of one in a shard it reads on behind the name."""
        self.bad += 1
        if len(self.errors) < _ERRORS:
            self.errors.append(error if row is None else f"{name} {error}")


def prepare(
    client: Client, bulk: Bulk, items: Iterable[Any], on_item: OnItem | None = None
) -> Prepared:
    """Look items up, and check and store those that are new, in threads; bad ones fail.

    Raises:
        UsageError: what the jobs have in common is wrong.
        SetupError: the store cannot be written.
    """
    total = len(items) if isinstance(items, Sized) else None
    found = Prepared()

    def look() -> None:
        if on_item is not None:
            on_item(found.items, total)

    with TemporaryDirectory(prefix="cvq-batch-") as folder, ExitStack() as stack:
        rest = map(Item.of, items)
        seen, spec = _first(bulk, rest)
        if spec is None:
            return found
        scratch = Path(folder)
        maker = _Maker(client, bulk, spec, scratch)
        found.spec, found.cache_key = maker.json, maker.cache_key
        known = Known()
        if bulk.cache and found.cache_key is not None:
            known = stack.enter_context(
                looked_for(client.db, client.artifacts, found.cache_key, scratch, _warn)
            )
        if bulk.may_have_shards and bulk.single is None:
            seen += islice(rest, MOST_EACH + 1 - len(seen))
        each = enumerate(chain(seen, rest))
        ledger = stack.enter_context(_Ledger(found, scratch / "manifest"))
        if bulk.has_shards(len(seen)):
            made = maker.shards(known, each, ledger, look)
        else:
            made = in_order(partial(maker.job, known), each, look)
        for job, taken in stack.enter_context(closing(made)):
            ledger.enter(job, taken)
            if len(found.jobs) > MOST_JOBS:  # of a list, say, that never ends
                raise UsageError(f"a batch has {MOST_JOBS} jobs at most, and there are more")
            look()
        look()
        if not bulk.dry:
            found.manifest = ledger.stored(client.artifacts)
    return found


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=5)


def _new_ones(
    known: Known, items: Iterator[tuple[int, Item]], ledger: _Ledger, look: Callable[[], None]
) -> Generator[Seen]:
    """The items that are to be computed; what is known is entered."""
    if known.empty:
        yield from (Seen(item, Entry(nth, item.name), None) for nth, item in items)
        return
    groups = here_or_in_order(
        lambda _, group: known.look_up_all(group), _groups(items, LOOKED_UP_AT_ONCE), look,
        quick_s=LOOKED_UP_AT_ONCE * QUICK_S, ahead=2 * THREADS,
    )  # fmt: skip
    for group in groups:
        for seen in group:
            if seen.answer is None:
                yield seen
            else:
                ledger.enter_known(seen.entry, seen.answer)


class _Ledger:
    """Takes down what becomes of the items, in the manifest too, where there is to be one."""

    def __init__(self, found: Prepared, path: Path) -> None:
        self._found = found
        self._manifest = None if found.cache_key is None else Writer(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._manifest is not None:
            self._manifest.close()

    def enter(self, job: NewJob | None, taken: Iterable[Taken]) -> None:
        """Enter a job and its items, or such as need none."""
        found, number = self._found, len(self._found.jobs)
        if job is not None:
            found.jobs.append(job)
        for entry, row, error, answer in taken:
            if answer is not None:
                self.enter_known(entry, answer)
                continue
            found.items += 1
            if error is not None:
                found.refuse(entry.name, row, error)
            if self._manifest is not None:
                self._manifest.add(entry, number, row, None, error and storable(error))

    def enter_known(self, entry: Entry, answer: Answer) -> None:
        """Enter an item that has an answer already."""
        self._found.items += 1
        self._found.known[answer.batch] += 1
        if self._manifest is not None:
            self._manifest.add(entry, None, answer.row, answer.job)

    def stored(self, artifacts: ArtifactStore) -> str | None:
        """The SHA-256 of the manifest in the store.

        Raises:
            StoreError: it cannot be stored.
        """
        if self._manifest is None or not self._found.items:
            return None
        self._manifest.finish()
        return artifacts.put_input(self._manifest.path)[0]


def _groups(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while group := list(islice(items, size)):
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
        with folder(scratch / "common") as place:
            checked = self._taken_in(first, place, lambda name: name != bulk.field)
        for note in checked.notes:
            warnings.warn(note, stacklevel=5)
        fields = set(type(first).model_fields) - {bulk.field}
        self._common = {name: getattr(checked.spec, name) for name in fields}
        self.json = checked.spec.model_dump(mode="json", exclude={bulk.field})
        self._waits_for = checked.waits_for
        self._key = bulk.kind.batch_key(self.json)

    @property
    def cache_key(self) -> str | None:
        """Equal where the same items have the same answers; None of a kind without inference."""
        if self._key is None:
            return None
        # A model is told by the job that trains it, which may not have ended yet.
        jobs = {
            name: {"job": file.job}
            for name, file in self._common.items()
            if isinstance(file, ModelFile)
        }
        return self._bulk.kind.batch_key({**self.json, **jobs})

    def job(self, known: Known, _: int, numbered: tuple[int, Item]) -> _Made:
        """The job of one item, where it is not known."""
        nth, item = numbered
        seen = known.look_up(nth, item)
        if seen.answer is not None:
            return None, [Taken(seen.entry, answer=seen.answer)]
        given: Any = []
        place = self._scratch / str(nth)
        try:
            with folder(place):
                spec = self._brought(item, place)
                given = self._stored(spec)
                found = self._taken_in(spec, place, lambda name: name == self._bulk.field)
        except (UsageError, SetupError) as error:
            if isinstance(error, StoreError):
                raise
            said = item.told(error, place)
            return self._job(item.name, given, said), [Taken(seen.entry, error=said)]
        given = self._stored(found.spec)
        sha256 = digest_of(given)
        entry, answer = seen.entry._replace(sha256=sha256), known.alike(sha256)
        if answer is not None:
            return None, [Taken(entry, answer=answer)]
        return self._job(item.name, given), [Taken(entry)]

    def shards(
        self,
        known: Known,
        items: Iterator[tuple[int, Item]],
        ledger: _Ledger,
        look: Callable[[], None],
    ) -> Generator[_Made]:
        """The jobs of many items, a thousand each; those that are known are entered."""
        packer = Packer(self._client.settings, known, self._bulk.strict)
        with closing(_new_ones(known, items, ledger, look)) as new:
            yield from here_or_in_order(
                partial(self._shard, packer), _groups(new, SHARD), look,
                quick_s=SHARD * QUICK_S, ahead=2 * THREADS, is_quick=packer.is_quick,
            )  # fmt: skip

    def _shard(self, packer: Packer, number: int, items: list[Seen]) -> _Made:
        """The job of many items, whose files go into one.

        A failed one where none of them can be used; none, where all are found to be known.
        """
        with folder(self._scratch / f"shard-{number}") as place:
            place.mkdir()
            path = place / f"shard-{number + 1:05}{shards.ENDING}"
            taken = packer.pack(path, items, place / "item")
            new = [each for each in taken if each.answer is None]
            if not new:
                return None, taken
            given = self._stored_shard(path, len(new))
        first, last = new[0].entry.name, new[-1].entry.name
        name = label(f"{count(len(new), 'item')}: {first} … {last}")
        error = None
        if all(each.error for each in new):
            error = f"{first} {new[0].error} (and so on: none of {len(new)} can be used)"
        return self._job(name, given, error), taken

    def _stored_shard(self, path: Path, items: int) -> Any:
        """A shard that was written here, and need not be looked into, in its specification."""
        spec = self._bulk.spec(Item(path.name, path)).model_copy(update=self._common)
        [file] = files_in(getattr(spec, self._bulk.field))
        shard = file.model_copy(update={"items": items})
        if not self._bulk.dry:
            shard = shard.store(self._client.artifacts)
        files = (shard if each is file else each for each in spec.inputs())
        return self._stored(spec.with_inputs(files))

    def _stored(self, spec: Spec) -> Any:
        return spec.model_dump(mode="json", include={self._bulk.field})[self._bulk.field]

    def _brought(self, item: Item, place: Path) -> Spec:
        if item.error is not None:
            raise InvalidInputError(item.error)
        return self._bulk.spec(item.brought(place)).model_copy(update=self._common)

    def _taken_in(self, spec: Spec, place: Path, fields: Callable[[str], bool]) -> InputChecks:
        client = self._client
        artifacts = None if self._bulk.dry else client.artifacts
        return take_in(spec, fields, client.settings, self._models, artifacts, place)

    def _job(self, name: str, given: Any, error: str | None = None) -> NewJob:
        bulk, user = self._bulk, self._client.settings.user
        spec = {**self.json, bulk.field: given}
        job = bulk.options.job(bulk.kind, spec, user, self._waits_for)
        return replace(job, name=name, batch_key=self._key, error=error)
