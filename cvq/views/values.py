"""What jobs have of the fields that a query can name: `val_loss`, `params.lr`, `duration`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, select

from .. import tables as t
from ..given import among
from ..query.meaning import Attribute, Lookup, Subject, subjects_of
from ..query.names import sources_of
from ..query.sorting import value_of
from ..query.tree import Field


def values_of(
    connection: Connection, job_ids: Iterable[int], fields: Sequence[Field]
) -> dict[int, list[Any]]:
    """The value that each of some jobs has of each field, in their order; None where it has none.

    A value is a number, a text or an aware time; a tag and a truth value are as they were written.

    Raises:
        UsageError: a name may mean several things.
    """
    names = {field.name for field in fields if field.source is None}
    lookup = sources_of(connection, names).__getitem__
    parts = [list(_parts(field, lookup)) for field in fields]
    columns = [value_of(part) for several in parts for part in several]
    query = select(t.jobs.c.id, *columns).where(among(t.jobs.c.id, list(job_ids)))
    found: dict[int, list[Any]] = {}
    for job_id, *values in connection.execute(query).all():
        rest = iter(values)
        found[job_id] = [_first(next(rest) for _ in several) for several in parts]
    return found


def _parts(field: Field, lookup: Lookup) -> Iterator[Subject]:
    """Where a field's value may be: the text of what has one comes before its number."""
    for subject in subjects_of(field, lookup):
        if isinstance(subject, Attribute):
            yield from (Attribute(subject.name, subject.source, as_) for as_ in ("text", "value"))
        else:
            yield subject


def _first(values: Iterable[Any]) -> Any:
    return next((value for value in list(values) if value is not None), None)
