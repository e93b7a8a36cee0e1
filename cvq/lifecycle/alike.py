"""Jobs that differ in their values alone, entered in a few statements, however many they are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, insert, select, true

from .. import attributes
from .. import tables as t
from ..column_types import Json
from ..db import as_json
from ..given import Given
from ..queries import database_time
from ..records import NewJob
from ..states import Reason, State
from . import jobs, twins
from .events import SUBMITTED, add_events
from .order import new_rank

_AT_ONCE = 500  # identities of a statement
_ROWS = 2_000  # that are sent at a time
_TIMES = frozenset({"created_at", "queued_at", "finished_at"})  # they follow from the state


def submit_all(
    connection: Connection, wanted: Sequence[NewJob], shares: Sequence[Collection[str]]
) -> list[int]:
    """Submit jobs as `jobs.submit` does each; return their ids, in the same order.

    Args:
        connection: the transaction.
        wanted: jobs of one user, queue, priority and kind, that wait for the same time.
        shares: of each, the identities of jobs whose result it may have.

    Raises:
        UnknownJobError: a job that one waits for, or uses, does not exist.
    """
    identities = [identity for share in shares for identity in share]
    twins.lock(connection, identities)
    seen = _known(connection, identities)
    found: dict[int, int] = {}
    fresh: list[int] = []
    again: list[int] = []
    for place, share in enumerate(shares):
        (again if seen.intersection(share) else fresh).append(place)
        seen.update(share)  # of two that do the same, the second waits for the first
    ids = _insert(connection, [wanted[place] for place in fresh])
    found.update(zip(fresh, ids, strict=True))
    for place in again:
        found[place] = jobs.submit(connection, wanted[place], shares[place])
    return [found[place] for place in range(len(wanted))]


def _known(connection: Connection, identities: Sequence[str]) -> set[str | None]:
    """The identities that some job has."""
    column = t.jobs.c.identity
    known: set[str | None] = set()
    for some in _parts(identities, _AT_ONCE):
        known.update(connection.scalars(select(column).where(column.in_(some)).distinct()))
    return known


def _insert(connection: Connection, wanted: Sequence[NewJob]) -> list[int]:
    """Insert jobs that do what no other does."""
    if not wanted:
        return []
    first = wanted[0]
    jobs.hold(connection, {job_id for job in wanted for job_id in jobs.leans_on(job)})
    rank = new_rank(connection, first.queue, first.priority, first.user)
    at = database_time(connection)
    ids = insert_alike(
        connection, (jobs.columns(job, rank + nth, at) for nth, job in enumerate(wanted))
    )
    _describe(connection, ids, wanted)
    return ids


def insert_alike(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> list[int]:
    """Insert jobs that differ in few columns, a few thousand at a time; return their ids in order.

    What they have in common is taken from the first of them, and is sent once.
    """
    rest = iter(rows)
    if (first := next(rest, None)) is None:
        return []
    entry = insert(t.jobs).values(first).returning(t.jobs.c.id)
    ids = [int(connection.execute(entry).scalar_one())]
    for some in _parts(rest, _ROWS):
        own = [
            name
            for name, value in first.items()
            if name not in _TIMES and (name == "state" or any(row[name] != value for row in some))
        ]
        ids += _insert_like(connection, ids[0], some, own)
    return ids


def _insert_like(
    connection: Connection, like: int, rows: Sequence[Mapping[str, Any]], own: Sequence[str]
) -> list[int]:
    """Insert jobs that are another in all but their `own` columns: texts, integers and JSON."""
    types = {name: t.jobs.c[name].type for name in own}

    def sent(name: str, value: Any) -> Any:
        return as_json(value) if isinstance(types[name], Json) and value is not None else value

    given = Given(connection, [{name: sent(name, row[name]) for name in own} for row in rows])
    cells = {name: given.cell(name, types[name]) for name in own}
    state, at = cells["state"], t.jobs.c.created_at
    made: dict[str, ColumnElement[Any]] = {
        **cells,
        "queued_at": case((state == State.QUEUED, at)),
        "finished_at": case((state == State.FAILED, at)),
    }
    same = [column for column in t.jobs.c if column.name not in ("id", *made)]
    entry = insert(t.jobs).from_select(
        [*(column.name for column in same), *made],
        select(*same, *made.values())
        .select_from(t.jobs.join(given.table, true()))
        .where(t.jobs.c.id == like)
        .order_by(given.nth),
    )
    return sorted(map(int, connection.scalars(entry.returning(t.jobs.c.id))))


def _describe(connection: Connection, ids: Sequence[int], wanted: Sequence[NewJob]) -> None:
    """Enter what is said of jobs beside their rows: parents, attributes, inputs, events."""
    first = wanted[0]
    parents = [
        {"job_id": job_id, "parent_id": parent}
        for job_id, job in zip(ids, wanted, strict=True)
        for parent in set(job.after)
    ]
    if parents:
        connection.execute(insert(t.dependencies), parents)
    specs = [job.spec for job in wanted]
    common = {
        name: value
        for name, value in first.spec.items()
        if all(name in spec and as_json(spec[name]) == as_json(value) for spec in specs)
    }
    attributes.add_of_many(connection, ids, specs, common, first.tags)
    add_events(connection, ids, SUBMITTED, first.user)
    refused = [job_id for job_id, job in zip(ids, wanted, strict=True) if job.error is not None]
    add_events(connection, refused, f"{State.FAILED} ({Reason.ERROR})", first.user)


def _parts(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
