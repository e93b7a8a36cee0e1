"""What people say of jobs afterwards: tags, notes, names. It changes nothing that they do.

Each is a few statements, however many jobs: the row, what can be asked of it (`attributes`), and
an event. Jobs that are so already are left as they are. Each raises an `UnknownJobError`, and
changes nothing, where there is no such job.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, func, literal, or_, select, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from .. import attributes
from .. import tables as t
from ..errors import UnknownJobError, UsageError
from ..given import among
from .events import add_events

_LONGEST_SAID = 60  # characters of a name, a tag or a note in an event


def tag(
    connection: Connection, job_ids: Sequence[int], tags: Mapping[str, str | None], by: str
) -> list[int]:
    """Give jobs tags, or take them away where the value is None; return whose have changed."""
    found = t.readable(t.jobs.c.tags)
    differs = or_(*(found[key].as_string().is_distinct_from(value) for key, value in tags.items()))
    values = {"tags": _merged(t.jobs.c.tags, tags)}
    said = [f"{key}={value}" for key, value in tags.items() if value is not None]
    gone = [key for key, value in tags.items() if value is None]
    changed = _locked(connection, job_ids, differs)
    _set(connection, changed, values)
    attributes.change_tags(connection, changed, tags)
    for what, words in (("tagged", said), ("untagged", gone)):
        if words:
            add_events(connection, changed, f"{what} {_short(' '.join(words))}", by)
    return changed


def annotate(
    connection: Connection, job_ids: Sequence[int], note: str | None, by: str
) -> list[int]:
    """Write a note on jobs, or take it away; return whose has changed."""
    differs = t.jobs.c.note.is_distinct_from(note)
    what = "note taken away" if note is None else f"noted: {_short(note)}"
    changed = _locked(connection, job_ids, differs)
    _set(connection, changed, {"note": note})
    add_events(connection, changed, what, by)
    return changed


def rename(connection: Connection, job_id: int, name: str | None, by: str) -> list[int]:
    """Give a job another name, or none; return its id if that has changed it.

    Raises:
        UsageError: it is of a batch, and called after its item, by which its answer is found.
    """
    batch = connection.scalar(select(t.jobs.c.batch).where(t.jobs.c.id == job_id))
    if batch is not None:
        raise UsageError(f"job {job_id} is called after its item of batch {batch}: that stays")
    what = "name taken away" if name is None else f"renamed {_short(name)}"
    changed = _locked(connection, [job_id], t.jobs.c.name.is_distinct_from(name))
    _set(connection, changed, {"name": name})
    add_events(connection, changed, what, by)
    return changed


def check_known(connection: Connection, job_ids: Sequence[int]) -> None:
    """Refuse ids of which there is no job.

    Raises:
        UnknownJobError: the first of these.
    """
    known = set(connection.scalars(select(t.jobs.c.id).where(among(t.jobs.c.id, job_ids))))
    if missing := next((job_id for job_id in job_ids if job_id not in known), None):
        raise UnknownJobError(missing)


def _locked(
    connection: Connection, job_ids: Sequence[int], differs: ColumnElement[bool]
) -> list[int]:
    """Those of some jobs that are to be changed, in order; the rows of all are locked."""
    ids = sorted(set(job_ids))
    query = select(t.jobs.c.id, differs).where(among(t.jobs.c.id, ids)).order_by(t.jobs.c.id)
    found = {row[0]: row[1] for row in connection.execute(query.with_for_update())}
    if missing := next((job_id for job_id in ids if job_id not in found), None):
        raise UnknownJobError(missing)
    return [job_id for job_id, changes in found.items() if changes]


def _set(connection: Connection, job_ids: Sequence[int], values: Mapping[str, Any]) -> None:
    if job_ids:
        connection.execute(update(t.jobs).where(among(t.jobs.c.id, job_ids)).values(values))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_SAID else f"{line[: _LONGEST_SAID - 1]}…"


class _merged(FunctionElement[Any]):  # noqa: N801 - it reads as SQL
    """An object in JSON with these values in it, and without the keys of those that are None."""

    type = t.Json()
    inherit_cache = True

    def __init__(self, column: ColumnElement[Any], values: Mapping[str, str | None]) -> None:
        super().__init__(column, literal(json.dumps(values, ensure_ascii=False), Text))


@compiles(_merged, "sqlite")
def _merged_sqlite(element: _merged, compiler: Any, **kw: Any) -> str:
    column, values = (compiler.process(each, **kw) for each in element.clauses)
    return f"json_patch(CASE WHEN json_valid({column}) THEN {column} ELSE '{{}}' END, {values})"


@compiles(_merged, "postgresql")
def _merged_postgresql(element: _merged, compiler: Any, **kw: Any) -> str:
    column, values = (compiler.process(each, **kw) for each in element.clauses)
    found = f"CASE jsonb_typeof({column}) WHEN 'object' THEN {column} ELSE '{{}}'::jsonb END"
    return f"jsonb_strip_nulls(({found}) || CAST({values} AS jsonb))"


def tags_in_use(connection: Connection, most: int) -> list[tuple[str, str, int]]:
    """The tags that jobs have, with how many have each: the most frequent, in order of keys."""
    a = t.attributes.c
    number = func.count()
    query = (
        select(a.name, a.text, number)
        .where(a.source == attributes.TAGS)
        .group_by(a.name, a.text)
        .order_by(number.desc(), a.name, a.text)
        .limit(most)
    )
    return sorted((name, text, int(many)) for name, text, many in connection.execute(query))
