"""Many jobs at once: their items are checked and stored in threads, and queued as one batch.

Nothing is queued until every item was looked at; then all of it is, in one transaction.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias, get_args, get_origin

from .batch import NewBatch
from .checks import JobOptions
from .errors import SpecError, UsageError
from .in_order import in_order
from .inputs.files import InputFile
from .inputs.images import ImagesFile
from .inputs.items import Item
from .inputs.sources import Sources
from .kinds import make_spec
from .known import Known, open_known
from .making import SHARD, Maker
from .prepared import Ledger, Prepared
from .records import NewJob
from .views.answers import Answers

if TYPE_CHECKING:
    from .client import Client
    from .kinds.kind import Kind
    from .kinds.spec import Spec

MOST_JOBS = 250_000  # of one batch
MOST_ITEMS = MOST_JOBS * SHARD  # those that are known too
MOST_EACH = 2_000  # items that get a job each, where nothing else is asked for

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
        single: whether many pictures share a job, in a shard, though they are few.
        each: whether each has a job, though they are many.
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
    single: bool = False
    each: bool = False
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
        if self.single and self.each:
            raise UsageError("single and each cannot be combined: give one")
        if self.single and not self.may_have_shards:
            raise UsageError(f"{name} has no shards of pictures: each of its items is a job")

    @property
    def may_have_shards(self) -> bool:
        """Whether a job's items may be those of a shard."""
        return self._takes(ImagesFile)

    @property
    def has_files(self) -> bool:
        """Whether items are files."""
        return self._takes(InputFile)

    def _takes(self, file: type[InputFile]) -> bool:
        annotation = self.kind.spec.model_fields[self.field].annotation
        taken = [annotation, *get_args(annotation)]
        return any(isinstance(one, type) and issubclass(one, file) for one in taken)

    def has_shards(self, items: int) -> bool:
        """Whether so many items go into shards."""
        many = not self.each and items > MOST_EACH
        return self.may_have_shards and (many or self.single)

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


def prepare(
    client: Client,
    bulk: Bulk,
    items: Iterable[Any] | str | Path,
    on_item: OnItem | None = None,
) -> tuple[NewBatch, Prepared]:
    """Look items up, and check and store those that are new, in threads; bad ones fail.

    Args:
        client: whose settings, database and store it is done with.
        bulk: what is to be made of them.
        items: a single path is a source.
        on_item: told while it goes on.

    Raises:
        UsageError: what the jobs have in common is wrong, or nothing can be queued.
        SetupError: the store cannot be written.
    """
    found = Prepared()

    def look() -> None:
        # Of a list, say, that never ends.
        for number, most, what in (
            (len(found.jobs), MOST_JOBS, "jobs"),
            (found.items, MOST_ITEMS, "items"),
        ):
            if number > most:
                raise UsageError(f"a batch has {most} {what} at most, and there are more")
        if on_item is not None:
            on_item(found.items, total)

    if isinstance(items, str | Path):
        sources = Sources(client.settings, files=bulk.has_files, note=_warn, tick=look)
        items = sources.items([str(items)])
    total = len(items) if isinstance(items, Sized) else None
    _prepare(client, bulk, map(partial(Item.of, files=bulk.has_files), items), found, look)
    return bulk.batch(found, client.settings.user), found


def _prepare(
    client: Client,
    bulk: Bulk,
    rest: Iterator[Item],
    found: Prepared,
    look: Callable[[], None],
) -> None:
    with TemporaryDirectory(prefix="cvq-batch-") as folder, ExitStack() as stack:
        seen, spec = _first(bulk, rest)
        if spec is None:
            return
        scratch = Path(folder)
        maker = Maker(client, bulk, spec, scratch)
        found.spec, found.cache_key = maker.json, maker.cache_key
        known = Known()
        if bulk.cache and found.cache_key is not None:
            answers = Answers(client.db, client.artifacts, scratch)
            known = stack.enter_context(open_known(answers, found.cache_key, _warn))
        if bulk.may_have_shards and not (bulk.single or bulk.each):
            seen += islice(rest, MOST_EACH + 1 - len(seen))
        each = enumerate(chain(seen, rest))
        ledger = stack.enter_context(Ledger(found, scratch / "manifest"))
        if bulk.has_shards(len(seen)):
            made = maker.shards(known, each, ledger, look)
        elif bulk.has_files:
            made = in_order(partial(maker.job, known), each, look)
        else:  # there is nothing to wait for
            made = (maker.job(known, numbered) for numbered in each)
        for job, taken in stack.enter_context(closing(made)):
            ledger.enter(job, taken)
            look()
        look()
        if not bulk.dry:
            found.manifest = ledger.stored(client.artifacts)


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=5)


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
            of_all = any(problem.field not in (None, bulk.field) for problem in error.problems)
            if of_all or len(seen) > MOST_JOBS:
                raise
    if wrong is not None:
        raise wrong
    return seen, None
