"""What jobs have of any field of the language, as a list of them shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, select

from .. import tables as t
from ..given import among
from .conditions import column_of, rows_of
from .meaning import Attribute, Column, Subject, subjects_of
from .names import sources_of
from .tree import Field, Value


def values_of(
    connection: Connection, job_ids: Sequence[int], fields: Sequence[Field]
) -> list[dict[int, Value]]:
    """The values of some fields, each by the ids of the jobs that have one.

    Args:
        connection: of the database.
        job_ids: of the jobs.
        fields: as `parser.parse_field` reads them.

    Raises:
        UsageError: a name may mean several things.
    """
    names = [field.name for field in fields if field.source is None]
    lookup = sources_of(connection, names).__getitem__
    found: list[dict[int, Value]] = []
    for field in fields:
        values: dict[int, Value] = {}
        for subject in reversed(subjects_of(field, lookup)):  # a number goes before a word
            for job_id, *cells in connection.execute(_query(subject, job_ids)):
                # Of a tag or a truth value, the text is what was written.
                if has := [each for each in cells if each is not None]:
                    values[job_id] = has[-1]
        found.append(values)
    return found


def _query(subject: Subject, job_ids: Sequence[int]) -> Select[Any]:
    if isinstance(subject, Column):
        column = column_of(subject)
        return select(t.jobs.c.id, column).where(among(t.jobs.c.id, job_ids))
    table, mine, column = rows_of(subject)
    columns = [table.c.value, table.c.text] if isinstance(subject, Attribute) else [column]
    return select(table.c.job_id, *columns).where(among(table.c.job_id, job_ids), *mine)
