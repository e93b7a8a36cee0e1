"""When two jobs do the same: same kind and code, same values, same inputs by their content.

What files are called is no part of it, nor what a job is called, who submits it, its tags, its
priority or its limits. The seed is a value like any other: one that was not given is 0, in every
job. Whether a GPU is asked for counts, as its sums are rounded otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from sqlalchemy import Connection, select

from . import tables as t
from .given import among
from .inputs.files import InputFile
from .inputs.models import ModelFile
from .kinds.kind import Kind
from .kinds.spec import Spec, files_in

_NO_CONTENT = frozenset({"name", "given", "bytes"})  # of a file whose SHA-256 is known
_MOST_WAYS = 16  # in which a job is looked for


def identities(
    connection: Connection, kind: Kind, spec: Spec, code: str | None, device: str | None
) -> list[str]:
    """Under what a job of this kind is found by others that do the same; the first is its own.

    There are several where it takes models: each is told by the content of its file, or by the
    job that has trained it, which is all that is known of it before its end.

    Args:
        connection: reads only, where there are models.
        kind: whose answers may be shared; [] of another.
        spec: its inputs in the store.
        code: the version of the kind's code; without one nothing is shared.
        device: `gpu`, `cpu` or None for either.
    """
    if not kind.cache or code is None:
        return []
    values = spec.model_dump(mode="json")
    trainers = _trainers(connection, spec)
    ways: list[list[Any]] = []
    for name in values:
        given = getattr(spec, name)
        if any(files_in(given)):
            ways.append(list(_told(given, trainers)))
        else:
            ways.append([values[name]])
    found = (
        _digest([kind.name, code, device, dict(zip(values, one, strict=True))])
        for one in product(*ways)
    )
    return [identity for identity, _ in zip(found, range(_MOST_WAYS), strict=False)]


def _told(given: Any, trainers: Mapping[int, int]) -> Iterator[Any]:
    """The ways to tell a field's files."""
    if not isinstance(given, list | tuple):
        yield from _ways(given, trainers)
        return
    files = [list(_ways(each, trainers)) for each in given]
    for way in range(max(len(each) for each in files)):
        yield [each[min(way, len(each) - 1)] for each in files]


def _ways(file: Any, trainers: Mapping[int, int]) -> Iterator[Any]:
    if not isinstance(file, InputFile):
        yield file
        return
    if isinstance(file, ModelFile):
        if file.sha256 is not None:
            yield {"sha256": file.sha256}
        if file.job is not None:
            yield {"job": trainers.get(file.job, file.job)}
        return
    told = file.model_dump(mode="json")
    if file.sha256 is None:
        yield told
    else:
        yield {key: value for key, value in told.items() if key not in _NO_CONTENT}


def _trainers(connection: Connection, spec: Spec) -> dict[int, int]:
    """The jobs that have trained the models, or do: each with the one that computes in its place.

    That of a twin is another.
    """
    models = {file.job for file in spec.inputs() if isinstance(file, ModelFile) and file.job}
    if not models:
        return {}
    jobs = t.jobs.c
    rows = connection.execute(select(jobs.id, jobs.twin_of).where(among(jobs.id, models)))
    return {row.id: row.twin_of or row.id for row in rows}


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
