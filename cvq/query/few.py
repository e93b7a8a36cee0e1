"""The ids of few jobs that all others of a search are not among, where there are such.

How many jobs a term means is counted in its index, up to a bound: what planners think of it is
often wrong, and never so cheap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import ColumnElement, Connection, select, union

from .meaning import Attribute, Column, Every, Term, Test
from .ranges import WHOLE, bound, ranges_of
from .walks import Walk, along, at_most, gathered, without

_WITH_OTHERS = ("worker", "device", "note")
_MOST_WALKS = 60  # of one term: with more, its rows are tested one by one


def walks_of(term: Term) -> list[Walk] | None:
    """Parts of indexes that have, among others, all jobs that a term means; None without one."""
    if isinstance(term, Test):
        return _of_test(term)
    parts = [walks_of(part) for part in term.parts]
    if isinstance(term, Every):
        found = [walks for walks in parts if walks is not None]
        return min(found, key=len) if found else None
    if any(walks is None for walks in parts):
        return None
    together = [walk for walks in parts for walk in walks or ()]
    return together if len(together) <= _MOST_WALKS else None


def _of_test(test: Test) -> list[Walk] | None:
    subject = test.subject
    if test.op == "missing":
        walk = without(subject)
        return None if walk is None else [walk]
    if isinstance(subject, Column) and subject.name == "id" and test.op == "in":
        return None
    if isinstance(subject, Attribute) and subject.as_ is None:
        both = [along(replace(subject, as_=as_)) for as_ in ("value", "text")]
        return [walk.within(WHOLE) for walk in both if walk]
    ranges = ranges_of(test)
    if test.op in ("like", "not like") and ranges == [WHOLE] and not _is_rare(test):
        return None
    if len(ranges) > _MOST_WALKS:
        return None
    walks = [gathered(subject, each) for each in ranges]
    return None if any(walk is None for walk in walks) else [each for each in walks if each]


def is_exact(term: Term) -> bool:
    """Whether the walks of a term have no jobs but those that it means."""
    if not isinstance(term, Test) or term.op in ("like", "not like"):
        return False
    of_texts = term.op == "not in" and isinstance(term.values[0], str)
    superset = isinstance(term.subject, Column) and term.subject.name in (
        "worker",
        "device",
        "note",
    )
    return not of_texts and not superset


def _is_rare(test: Test) -> bool:
    return isinstance(test.subject, Column) and test.subject.name == "note"


class Few:
    """Finds them.

    Args:
        connection: of the database.
        terms: all of which have to hold.
    """

    def __init__(self, connection: Connection, terms: Sequence[Term]) -> None:
        self._connection = connection
        found = [walks_of(term) for term in terms]
        self._drivers = [walks for walks in found if walks is not None]

    def counts(self, most: int) -> list[int]:
        """How many rows there are for each term that has an index; `most` is that many or more."""
        if not self._drivers:
            return []
        asked = [_count(walks, most) for walks in self._drivers]
        return [min(most, int(each)) for each in self._connection.execute(select(*asked)).one()]

    def walks(self, most: int) -> list[Walk] | None:
        """Parts of indexes with less than so many rows, which have all jobs that are meant."""
        counts = self.counts(most)
        if not counts or min(counts) >= most:
            return None
        return self._drivers[counts.index(min(counts))]


def _count(walks: Sequence[Walk], most: int) -> ColumnElement[int]:
    total, *others = [walk.counted(most) for walk in walks]
    for each in others:
        total = total + each
    return total


def ids_on(connection: Connection, walks: Sequence[Walk]) -> list[int]:
    """The ids of all jobs on some walks, each once."""
    found: dict[int, None] = {}
    for walk in walks:
        found.update(dict.fromkeys(connection.scalars(walk.ids(None))))
    return list(found)


def first_ids(
    connection: Connection, walks: Sequence[Walk], number: int, *, falling: bool, after: int | None
) -> list[int]:
    """The first so many ids of jobs on some walks, in order, each once.

    Args:
        connection: of the database.
        walks: on which they are.
        number: how many.
        falling: whether the highest comes first.
        after: an id: those behind it alone.
    """
    # Without `offset`, databases would walk by ids here as well, as there is a limit.
    every = union(*(walk.any_ids() for walk in walks)).offset(0).subquery().c.id
    query = select(every).order_by(every.desc() if falling else every)
    if after is not None:
        query = query.where(every < bound(after) if falling else every > bound(after))
    return list(connection.scalars(at_most(query, number)))
