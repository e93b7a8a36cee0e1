"""What jobs have of the fields that a query can name: `val_loss`, `params.lr`, `duration`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, select

from .. import tables as t
from ..given import among
from ..query.keys import Key
from ..query.names import sources_of
from ..query.sorting import parts_of, value_of
from ..query.tree import Field


def values_of(
    connection: Connection, job_ids: Iterable[int], fields: Sequence[Field]
) -> dict[int, list[Any]]:
    """The value that each of some jobs has of each field, in their order; None where it has none.

    A value is a number, a text or an aware time.

    Raises:
        UsageError: a name may mean several things.
    """
    names = {field.name for field in fields if field.source is None}
    lookup = sources_of(connection, names).__getitem__
    parts = [parts_of(Key(field), lookup) for field in fields]
    columns = [value_of(part.subject) for several in parts for part in several]
    query = select(t.jobs.c.id, *columns).where(among(t.jobs.c.id, list(job_ids)))
    found: dict[int, list[Any]] = {}
    for job_id, *values in connection.execute(query).all():
        rest = iter(values)
        found[job_id] = [_first(next(rest) for _ in several) for several in parts]
    return found


def _first(values: Iterable[Any]) -> Any:
    return next((value for value in list(values) if value is not None), None)
