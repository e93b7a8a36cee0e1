"""The values within a record as it is kept in JSON: a specification, a result, an origin."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard


def leaves(
    record: Mapping[Any, Any], deepest: int | None = None, prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """What is within a record and is none itself, under its name: `a.b` is b within a.

    Files and lists stay whole. A key that is no text is called what it is called in JSON.

    Args:
        record: the record.
        deepest: how many levels of records within it are looked into; all by default.
        prefix: of the names.
    """
    for key, value in record.items():
        name = f"{prefix}{key if isinstance(key, str) else json.dumps(key)}"
        if not isinstance(value, dict) or is_file(value):
            yield name, value
        elif deepest is None:
            yield from leaves(value, None, f"{name}.")
        elif deepest > 0:
            yield from leaves(value, deepest - 1, f"{name}.")


def is_file(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a value stands for an input file, or for a model."""
    return isinstance(value, dict) and "sha256" in value and "name" in value


def without_paths(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A specification in JSON without what was typed to name its files: what leaves this place."""

    def bare(value: Any) -> Any:
        if isinstance(value, list):
            return [bare(each) for each in value]
        if not is_file(value):
            return value
        return {name: word for name, word in value.items() if name != "given"}

    return {name: bare(value) for name, value in spec.items()}
