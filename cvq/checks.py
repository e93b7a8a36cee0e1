"""What every job may be submitted with, whatever its kind. Each check raises a UsageError."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .errors import UsageError
from .lifecycle.values import storable

_LONGEST_NAME = 150  # characters


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
            raise UsageError(f"{what} {limit:g} s: give a finite time above 0")
    if hard is not None and soft is not None and soft >= hard:
        raise UsageError(
            f"soft time limit {soft:g} s: give less than the time limit of {hard:g} s"
        )


def check_words(name: str | None, queue: str, tags: Mapping[str, str]) -> None:
    """Refuse names and tags that no database or command line could hold."""
    for what, value in (("name", name), ("queue", queue)):
        if value is not None and not 0 < len(value) <= _LONGEST_NAME:
            raise UsageError(f"{what}: give 1 to {_LONGEST_NAME} characters")
        check_storable(what, value)
    if queue != queue.strip() or "," in queue:  # `cvq worker --queues` could not name it
        raise UsageError(f"queue '{queue}': its name may have no comma, nor spaces at its ends")
    for key in tags:
        if not key or any(character in key for character in '"\\'):
            raise UsageError(f"tag {key!r}: a key has no quotes and no backslashes")
    check_storable("tags", dict(tags))


def check_storable(what: str, given: Any) -> None:
    """Refuse what one database would take and another would not."""
    if storable(given) != given:
        raise UsageError(f"{what} contains NUL or an unpaired surrogate")
