"""The jobs of many items: one for each, or for a thousand of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from .checks import check_storable
from .errors import InvalidInputError, SetupError, StoreError, UsageError
from .in_order import QUICK_S, THREADS, here_or_in_order
from .inputs import shards
from .inputs.contents import digest_of
from .inputs.items import Item, label
from .inputs.models import ModelFile
from .inputs.submission import InputChecks, take_in
from .kinds.code import code_of
from .kinds.kind import digest
from .kinds.spec import files_in
from .known import Known, Seen
from .manifests import Entry
from .origin import WorkingFolder, origin
from .packing import Packer, Taken, folder
from .prepared import Ledger
from .records import NewJob
from .text import count
from .views.models import JobModels

if TYPE_CHECKING:
    from .bulk import Bulk
    from .client import Client
    from .kinds.spec import Spec

SHARD = 1_000  # items of a shard
_LOOKED_UP_AT_ONCE = 150

T = TypeVar("T")
# A job, where one is needed, and its items.
Made: TypeAlias = tuple[NewJob | None, list[Taken]]


class Maker:
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
        self._has_files = bulk.has_files
        self._key = bulk.kind.batch_key(self.json)
        user = client.settings.user
        like = bulk.options.job(bulk.kind, self.json, user, checked.waits_for)
        self._code = code_of(bulk.kind)
        with WorkingFolder() as here:
            said = origin(client.settings.host, self._code, here)
        self._like = replace(like, batch_key=self._key, origin=said)

    @property
    def cache_key(self) -> str | None:
        """Equal where the same items have the same answers; None of a kind without inference.

        By other code they may have others.
        """
        if self._key is None:
            return None
        # A model is told by the job that trains it, which may not have ended yet.
        jobs = {
            name: {"job": file.job}
            for name, file in self._common.items()
            if isinstance(file, ModelFile)
        }
        return self._bulk.kind.batch_key({**self.json, **jobs, "": self._code})

    def job(self, known: Known, numbered: tuple[int, Item]) -> Made:
        """The job of one item, where it is not known."""
        nth, item = numbered
        seen = known.look_up(nth, item)
        if seen.answer is not None:
            return None, [Taken(seen.entry, answer=seen.answer)]
        given: Any = []
        place = self._scratch / str(nth) if self._has_files else self._scratch
        try:
            with folder(place) if self._has_files else nullcontext():
                spec = self._brought(item, place)
                given = self._storable(spec)
                if self._has_files:
                    spec = spec.model_copy(update=self._common)
                    given = self._storable(self._taken_in(spec, place, self._is_field).spec)
        except (UsageError, SetupError) as error:
            if isinstance(error, StoreError):
                raise
            said = item.told(error, place)
            return self._job(item.name, given, said), [Taken(seen.entry, error=said)]
        sha256 = digest_of(given, is_file=self._has_files)
        stamp, before = seen.entry.stamp, seen.entry.sha256
        # Of a file that was replaced since it was looked at, the stamp is another's.
        if not (item.stamp_now() == stamp if before is None else sha256 == before):
            stamp = None
        entry = seen.entry._replace(sha256=sha256, stamp=stamp)
        answer = known.alike(sha256)
        if answer is not None:
            return None, [Taken(entry, answer=answer)]
        return self._job(item.name, given), [Taken(entry)]

    def shards(
        self,
        known: Known,
        items: Iterator[tuple[int, Item]],
        ledger: Ledger,
        look: Callable[[], None],
    ) -> Generator[Made]:
        """The jobs of many items, a thousand each; those that are known are entered."""
        packer = Packer(self._client.settings, known, self._bulk.strict)
        with closing(_new_ones(known, items, ledger, look)) as new:
            yield from here_or_in_order(
                partial(self._shard, packer), enumerate(_groups(new, SHARD), 1), look,
                quick_s=SHARD * QUICK_S, ahead=2 * THREADS,
                is_quick=lambda numbered: packer.is_quick(numbered[1]),
            )  # fmt: skip

    def _shard(self, packer: Packer, numbered: tuple[int, list[Seen]]) -> Made:
        """The job of many items, whose files go into one.

        A failed one where none of them can be used; none, where all are found to be known.
        """
        number, items = numbered
        with folder(self._scratch / f"shard-{number}") as place:
            place.mkdir()
            path = place / f"shard-{number:05}{shards.ENDING}"
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
        return self._storable(spec.with_inputs(files))

    def _is_field(self, name: str) -> bool:
        return name == self._bulk.field

    def _storable(self, spec: Spec) -> Any:
        """An item as the database has it.

        Raises:
            UsageError: it holds what that cannot have.
        """
        field = self._bulk.field
        try:
            given = spec.model_dump(mode="json", include={field})[field]
        except ValueError as error:  # a kind's own type, or half of a surrogate pair
            raise UsageError(f"the {field} cannot be written as JSON: {error}") from None
        check_storable(f"the {field}", given)
        return given

    def _brought(self, item: Item, place: Path) -> Spec:
        if item.error is not None:
            raise InvalidInputError(item.error)
        return self._bulk.spec(item.brought(place))

    def _taken_in(self, spec: Spec, place: Path, fields: Callable[[str], bool]) -> InputChecks:
        client = self._client
        artifacts = None if self._bulk.dry else client.artifacts
        return take_in(spec, fields, client.settings, self._models, artifacts, place)

    def _job(self, name: str, given: Any, error: str | None = None) -> NewJob:
        bulk = self._bulk
        spec = {**self.json, bulk.field: given}
        spec_hash = digest(bulk.kind.name, spec)
        return replace(self._like, name=name, spec=spec, spec_hash=spec_hash, error=error)


def _new_ones(
    known: Known, items: Iterator[tuple[int, Item]], ledger: Ledger, look: Callable[[], None]
) -> Generator[Seen]:
    """The items that are to be computed; what is known is entered."""
    if known.empty:  # no file is asked how old it is
        yield from (Seen(item, Entry(nth, item.name), None) for nth, item in items)
        return
    groups = here_or_in_order(
        known.look_up_all, _groups(items, _LOOKED_UP_AT_ONCE), look,
        quick_s=_LOOKED_UP_AT_ONCE * QUICK_S, ahead=2 * THREADS,
    )  # fmt: skip
    for group in groups:
        for seen in group:
            if seen.answer is None:
                yield seen
            else:
                ledger.enter_known(seen.entry, seen.answer)


def _groups(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while group := list(islice(items, size)):
        yield group
