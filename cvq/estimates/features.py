"""What of a specification may tell how long its job runs: numbers and words, by the field."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

Features: TypeAlias = Mapping[str, float | str]
"""Numbers (an integer may count work; sizes in bytes end in `.bytes`) and words, by name."""

HOST, DEVICE = "@host", "@device"  # where a job runs, beside the fields of its specification
BYTES, ITEMS = ".bytes", ".items"

_MOST = 48  # features of a job
_LONGEST = 60  # characters of a word
_LEFT_OUT = frozenset({"seed"})  # which changes what comes out, and not how long it takes


def features_of(spec: Mapping[str, Any]) -> dict[str, float | str]:
    """The numbers and words of a specification as JSON, nested ones as `a.b`."""
    found: dict[str, float | str] = {}
    for name, value in spec.items():
        if name not in _LEFT_OUT:
            found.update(_of_value(str(name), value))
        if len(found) > _MOST:
            break
    return dict(list(found.items())[:_MOST])


def device_class(device: str | None) -> str:
    """`cpu`, `cuda` or `mps` of the device of a slot."""
    return (device or "cpu").partition(":")[0]


def _of_value(name: str, value: Any) -> Iterator[tuple[str, float | str]]:
    if isinstance(value, bool) or value is None:
        yield name, json.dumps(value)
    elif isinstance(value, int | float):
        if abs(value) < 1e300 and math.isfinite(value):  # an integer may be larger than any float
            yield name, value
    elif isinstance(value, str):
        yield name, value[:_LONGEST]
    elif isinstance(value, list):
        yield from _of_list(name, value)
    elif isinstance(value, dict):
        yield from _of_file(name, [value]) if "sha256" in value else _of_record(name, value)


def _of_list(name: str, values: list[Any]) -> Iterator[tuple[str, float | str]]:
    yield f"{name}.length", len(values)
    if values and all(isinstance(value, dict) and "sha256" in value for value in values):
        yield from _of_file(name, values)
    elif all(isinstance(value, str | int | float) for value in values[:_MOST]):
        yield name, ",".join(map(str, values[:_MOST]))[:_LONGEST]


def _of_record(name: str, record: Mapping[Any, Any]) -> Iterator[tuple[str, float | str]]:
    for key, value in record.items():
        yield from _of_value(f"{name}.{key}", value)


def _of_file(name: str, files: list[dict[str, Any]]) -> Iterator[tuple[str, float | str]]:
    """How large files are, how many items they hold, and which one it is: of a known data set."""
    which = files[0]["sha256"]
    if len(files) == 1 and which != "":  # of one that is not in the store yet nobody knows
        yield name, str(files[0].get("name") if which is None else which)[:_LONGEST]
    for ending, key in ((BYTES, "bytes"), (ITEMS, "items")):
        sizes = [file[key] for file in files if isinstance(file.get(key), int)]
        if sizes:
            yield name + ending, sum(sizes)
