"""Jobs that differ in their values alone, entered in a few statements, however many they are."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection, insert, select

from .. import attributes
from .. import tables as t
from ..db import as_json
from ..queries import database_time
from ..records import NewJob
from ..states import Reason, State
from . import jobs, twins
from .events import SUBMITTED, add_events
from .order import new_rank

_AT_ONCE = 500


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
    for some in _parts(identities):
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
    rows = [jobs.columns(job, rank + nth, at) for nth, job in enumerate(wanted)]
    entry = insert(t.jobs).returning(t.jobs.c.id, sort_by_parameter_order=True)
    ids = [int(job_id) for some in _parts(rows) for job_id in connection.scalars(entry, some)]
    _describe(connection, ids, wanted)
    return ids


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


def _parts(items: Sequence[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while part := list(islice(rest, _AT_ONCE)):
        yield part
