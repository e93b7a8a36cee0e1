"""What every job may be submitted with, whatever its kind. Each check raises a UsageError."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .errors import UsageError
from .kinds.kind import digest
from .lifecycle.values import storable
from .records import NewJob
from .text import exactly

if TYPE_CHECKING:
    from .kinds.kind import Kind

LONGEST_NAME = 150  # characters
_LONGEST_NOTE = 20_000


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """What a job is submitted with besides its specification; see `Client.submit`.

    Raises:
        UsageError: an option is out of bounds.
    """

    priority: int = 5
    name: str | None = None
    tags: Mapping[str, str] | None = None
    after: Iterable[int] = ()
    at: datetime | None = None
    retries: int = 2
    time_limit: float | None = None
    soft_time_limit: float | None = None
    gpu: bool | None = None
    queue: str | None = None

    def __post_init__(self) -> None:
        check_options(self.priority, self.retries)
        check_limits(self.time_limit, self.soft_time_limit)
        check_words(self.name, self.place, self.words)

    @property
    def words(self) -> dict[str, str]:
        """The tags."""
        return {str(key): str(value) for key, value in (self.tags or {}).items()}

    @property
    def place(self) -> str:
        """The queue: the default one, or that of GPUs where one is needed."""
        if self.queue is None:
            return "gpu" if self.gpu else "default"
        return self.queue

    def job(
        self, kind: Kind, spec: dict[str, Any], user: str, waits_for: Iterable[int] = ()
    ) -> NewJob:
        """The job of a specification, as JSON, which waits for others as well."""
        check_storable(f"{kind.name}: the specification", spec)
        return NewJob(
            kind=kind.name,
            spec=spec,
            spec_hash=digest(kind.name, spec),
            user=user,
            queue=self.place,
            priority=self.priority,
            name=self.name,
            tags=self.words,
            device={True: "gpu", False: "cpu", None: None}[self.gpu],
            time_limit=self.time_limit,
            soft_time_limit=self.soft_time_limit,
            max_attempts=self.retries + 1,
            not_before=self.at,
            goals=dict(kind.goals) or None,
            headline=kind.headline,
            after=tuple(dict.fromkeys([*self.after, *waits_for])),
        )


def check_options(priority: int, retries: int) -> None:
    """Refuse a priority or a number of retries out of bounds."""
    if not 0 <= priority <= 9:
        raise UsageError(f"priority {priority}: give 0 to 9, 9 first")
    if not 0 <= retries <= 100:
        raise UsageError(f"retries {retries}: give 0 to 100")


def check_limits(hard: float | None, soft: float | None) -> None:
    """Refuse time limits, in seconds, that could not both be kept."""
    for what, limit in (("time limit", hard), ("soft time limit", soft)):
        if limit is not None and not 0 < limit < math.inf:
            raise UsageError(f"{what} {exactly(limit)}: give a finite time above 0")
    if hard is not None and soft is not None and soft >= hard:
        raise UsageError(
            f"soft time limit {exactly(soft)}: give less than the time limit of {exactly(hard)}"
        )


def check_words(name: str | None, queue: str, tags: Mapping[str, str]) -> None:
    """Refuse names and tags that no database or command line could hold."""
    for what, value in (("name", name), ("queue", queue)):
        if value is not None and not 0 < len(value) <= LONGEST_NAME:
            raise UsageError(f"{what}: give 1 to {LONGEST_NAME} characters")
        check_storable(what, value)
    if queue != queue.strip() or "," in queue:  # `cvq worker --queues` could not name it
        raise UsageError(f"queue '{queue}': its name may have no comma, nor spaces at its ends")
    for key in tags:
        if not key or any(character in key for character in '"\\'):
            raise UsageError(f"tag {key!r}: a key has no quotes and no backslashes")
    check_storable("tags", dict(tags))


def check_note(text: str) -> None:
    """Refuse a note that no database could hold, or that is a document of its own."""
    if not 0 < len(text) <= _LONGEST_NOTE:
        raise UsageError(f"note: give 1 to {_LONGEST_NOTE:,} characters")
    check_storable("note", text)


def check_storable(what: str, given: Any) -> None:
    """Refuse what one database would take and another would not."""
    if storable(given) != given:
        raise UsageError(f"{what} contains NUL or an unpaired surrogate")
