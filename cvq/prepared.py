"""What is made of many items: jobs, and a manifest that says which of them answers which item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from .known import Answer
from .lifecycle.values import storable
from .manifests import Entry, Writer
from .packing import Taken
from .records import NewJob

if TYPE_CHECKING:
    from .artifacts import ArtifactStore

_ERRORS = 100  # that are told


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


class Ledger:
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
