"""Finds the jobs that terms mean, in an order, a page at a time.

Two ways lead there, and which is shorter is found out, not guessed. Where few jobs can be meant at
all, as one of the terms has few in its index, these are tested and sorted. Otherwise an index is
walked in the order that is asked for, and all else is tested on the way, until the page is full.
Where few pass, the walk stops after some thousand rows and looks again for the first way; by ids,
the first jobs that such an index has are tested before the others. Jobs that have no value to be
sorted by come last, and are looked for only where the page is not full.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Connection, func, select, union_all

from .. import tables as t
from ..given import among
from .conditions import conditions, conditions_of_id
from .few import Few, first_ids, ids_on, is_exact, walks_of
from .keys import Key
from .meaning import Attribute, Column, Every, Lookup, Term, Test
from .patterns import Pattern
from .ranges import ranges_of
from .sorting import Part, comes_after, order_by, parts_of, read, values_of, written
from .walks import BY_ID, NEVER_NULL, Walk, along, at_most, with_value

_FEW = 2000  # jobs that are tested and sorted without another thought
_SEVERAL = 250_000  # for which it is still worth it, where a walk finds next to nothing
_STRETCH = 5000  # rows of an index, after which a walk looks whether it finds enough
_STRETCH_DEAR = 1000  # and before that, where each test costs more than a row of an index
_GATHERED = 3  # of such rows that are gathered and sorted, while a walk would test one job
_TRIED = 10  # of these for each that is wanted, before all are tested
_MOST_VALUES = 10  # of a column, each of which is a walk of its own
_EQUALS = (
    "batch", "sweep", "twin_of", "made_from", "name", "reason", "kind", "user", "queue", "state",
    "priority", "attempts",
)  # fmt: skip
_UNTRASHED = Test(Column("trashed"), "missing")

Row: TypeAlias = tuple[Any, ...]
"""The values that a job is sorted by, and its id."""


class Found(NamedTuple):
    """The ids of jobs in order; `after` is the place to go on from, None at the end."""

    ids: list[int]
    after: str | None


class _TooFew(Exception):  # noqa: N818 - no error: another way is shorter
    """So few pass on a walk that the jobs on these others are tested instead."""

    def __init__(self, walks: Sequence[Walk]) -> None:
        self.walks = walks


class Search:
    """Args:
    connection: of the database.
    terms: all of which have to hold.
    keys: by what to sort.
    lookup: which sources have the names in the keys.
    sort: the keys as they were written, which a place in the list keeps.
    """

    def __init__(
        self,
        connection: Connection,
        terms: Sequence[Term],
        keys: Sequence[Key] = (),
        lookup: Lookup = lambda _: (),
        sort: str | None = None,
    ) -> None:
        self._connection, self._sort = connection, sort
        self._terms = list(_flat(terms))
        self._keys = [parts_of(key, lookup) for key in keys] or self._by_time()
        self._parts = [part for parts in self._keys for part in parts]
        self._falling = keys[0].falling if keys else True

    def _by_time(self) -> list[tuple[Part, ...]]:
        """Where times bound it, the newest first is by time: an index leads to them at once."""
        created = Column("created")
        is_bound = any(isinstance(term, Test) and term.subject == created for term in self._terms)
        return [(Part(created, falling=True),)] if is_bound else []

    def page(self, limit: int | None, after: str | None = None) -> Found:
        """At most so many jobs, those after a place alone."""
        at = None if after is None else read(after, self._sort, self._parts)
        rows = self._rows(at, None if limit is None else limit + 1)
        more = limit is not None and len(rows) > limit
        rows = rows[:limit]
        following = written(self._sort, rows[-1]) if more and rows else None
        return Found([row[-1] for row in rows], following)

    def place_of(self, job_id: int) -> str | None:
        """The place of a job in the order, with the values that it has now; None without it."""
        query = select(*values_of(self._keys), t.jobs.c.id).where(t.jobs.c.id == job_id)
        row = self._connection.execute(query).one_or_none()
        return None if row is None else written(self._sort, tuple(row))

    def count(self, most: int | None = None) -> int:
        """How many jobs the terms mean; of more than `most`, that many."""
        if most is not None:
            return len(self._rows(None, most))
        if _UNTRASHED in self._terms:  # nearly all are: looked up, each would cost its row
            rest = [term for term in self._terms if term != _UNTRASHED]
            trashed = [*rest, Test(_UNTRASHED.subject, "present")]
            whole = Search(self._connection, rest)
            return whole.count() - Search(self._connection, trashed)._count()
        return self._count()

    # ------------------------------------------------------------------------- both ways

    def _rows(self, at: Row | Sequence[Any] | None, limit: int | None) -> list[Row]:
        can_walk = len(self._keys) < 2 and all(along(part.subject) for part in self._parts)
        if not can_walk:
            return self._sorted(self._few_ids(_SEVERAL), at, limit)
        ids = self._few_ids(_FEW, but=self._is_own) if self._tests() else None
        if ids is not None:
            return self._sorted(ids, at, limit)
        try:  # what lies between two values that are asked for is tested on any walk
            return self._walked(at, limit)
        except _TooFew as found:
            some = None if self._parts else self._first(found.walks, at, limit)
            if some is not None:
                return some
            return self._sorted(ids_on(self._connection, found.walks), at, limit)

    def _first(
        self, walks: Sequence[Walk], at: Sequence[Any] | None, limit: int | None
    ) -> list[Row] | None:
        """Those that are meant among the first on some walks, by ids; None where too few are."""
        last = None if at is None else at[-1]
        number = _TRIED * (limit or 1)
        ids = first_ids(self._connection, walks, number, falling=self._falling, after=last)
        rows = self._sorted(ids, at, limit)
        return rows if len(ids) < number or len(rows) == limit else None

    def _tests(self) -> list[Term]:
        """What is to be tested on a walk: what does not lead it, and may not hold."""
        _, leads = (None, None) if self._parts else _leading(self._terms)
        rest = [term for term in self._terms if term is not leads and term != _UNTRASHED]
        return [term for term in rest if not self._is_own(term)]

    def _few_ids(
        self, most: int, but: Callable[[Term], bool] = lambda _: False
    ) -> list[int] | None:
        """The ids of less than so many jobs, which all are among; None where that is not known."""
        for term in self._terms:
            if isinstance(term, Test) and term.subject == Column("id") and term.op == "in":
                return [each for each in term.values if isinstance(each, int)]
        walks = self._few_walks(most, but)
        return None if walks is None else ids_on(self._connection, walks)

    def _few_walks(
        self, most: int, but: Callable[[Term], bool] = lambda _: False
    ) -> list[Walk] | None:
        """Parts of indexes with less than so many rows, which have all jobs that are meant."""
        asked = [term for term in self._terms if not but(term) and term != _UNTRASHED]
        return Few(self._connection, asked).walks(most)

    def _is_own(self, term: Term) -> bool:
        """Whether a term asks of what is sorted by: the walk begins and ends within it."""
        return isinstance(term, Test) and any(term.subject == part.subject for part in self._parts)

    def _sorted(
        self, ids: Sequence[int] | None, at: Sequence[Any] | None, limit: int | None
    ) -> list[Row]:
        """All that are meant, or those of some ids, tested and sorted."""
        values = values_of(self._keys)
        asked = conditions(self._terms)
        if ids is not None:
            asked.append(among(t.jobs.c.id, ids))
        if at is not None:
            asked.append(comes_after(self._parts, values, at, falling=self._falling))
        query = select(*values, t.jobs.c.id).where(*asked)
        query = query.order_by(*order_by(self._parts, values, falling=self._falling))
        return [tuple(row) for row in self._connection.execute(at_most(query, limit))]

    # ----------------------------------------------------------------------------- walks

    def _walked(self, at: Sequence[Any] | None, limit: int | None) -> list[Row]:
        """Along the index of each part in turn, then by ids through what has none of them."""
        if not self._parts:
            return self._by_id(self._terms, at, limit, self._falling)
        rows: list[Row] = []
        behind: Sequence[Any] | None
        stage = 0 if at is None else _stage(at)
        for number, part in enumerate(self._parts):
            if number < stage or (limit is not None and len(rows) >= limit):
                continue
            behind = None if at is None or number > stage else (at[number], at[-1])
            if Test(part.subject, "missing") in self._terms:
                continue  # none that is meant has a value of it
            walk = along(part.subject)
            assert walk is not None
            before = [Test(each.subject, "missing") for each in self._parts[:number]]
            found = self._along(walk, [*self._terms, *before], behind, _left(limit, rows))
            empty = [None] * len(self._parts)
            for row in found:
                values = [*empty]
                values[number] = row[0]
                rows.append((*values, row[-1]))
        if (limit is None or len(rows) < limit) and self._may_miss():
            behind = None if at is None or stage < len(self._parts) else (at[-1],)
            missing = [Test(part.subject, "missing") for part in self._parts]
            left = _left(limit, rows)
            found = self._by_id([*self._terms, *missing], behind, left, self._falling)
            rows += [(*[None] * len(self._parts), row[-1]) for row in found]
        return rows

    def _may_miss(self) -> bool:
        """Whether a job may be meant that has no value to be sorted by."""
        if any(part.subject in [Column(name) for name in NEVER_NULL] for part in self._parts):
            return False
        own = [term for term in self._terms if self._is_own(term)]
        return all(isinstance(term, Test) and term.op == "missing" for term in own)

    def _by_id(
        self, terms: Sequence[Term], at: Sequence[Any] | None, limit: int | None, falling: bool
    ) -> list[Row]:
        """In the order of ids: along the values that a column must have, or along all."""
        name, chosen = _leading(terms)
        if chosen is None:
            return self._along(BY_ID, terms, at, limit)
        rest = [term for term in terms if term is not chosen]
        rows: list[Row] = []
        for value in dict.fromkeys(chosen.values) or (None,):
            assert not isinstance(value, Pattern)
            walk = with_value(Column(name), value)
            rows += self._along(walk, rest, at, limit)
        rows.sort(key=lambda row: row[-1], reverse=falling)
        return rows[:limit]

    def _along(
        self, walk: Walk, terms: Sequence[Term], after: Sequence[Any] | None, limit: int | None
    ) -> list[Row]:
        walk, terms = _narrowed(walk, terms)
        rows = partial(walk.rows, self._connection, terms, falling=self._falling)
        if limit is None or not [term for term in terms if term != _UNTRASHED]:
            return rows(after=after, limit=limit)
        found: list[Row] = []
        for stretch in [_STRETCH_DEAR, _STRETCH] if self._is_dear(terms) else [_STRETCH]:
            until = walk.row_after(self._connection, stretch, falling=self._falling, after=after)
            found += rows(after=after, until=until, limit=limit - len(found))
            if until is None or len(found) >= limit:
                return found
            self._look_again(self._ahead(stretch, len(found), limit))
            after = until
        return found + rows(after=after, limit=limit - len(found))

    def _ahead(self, stretch: int, passed: int, limit: int) -> int:
        """How many jobs may be tested instead of what a walk has still to pass."""
        if stretch == _STRETCH:
            return stretch * limit // passed if passed else _SEVERAL
        return _GATHERED * stretch * limit // max(1, passed)

    def _is_dear(self, terms: Sequence[Term]) -> bool:
        """Whether a walk by ids looks up parameters, of which an index by value has the ids."""
        asked = [term for term in terms if isinstance(term, Test)]
        return not self._parts and any(isinstance(term.subject, Attribute) for term in asked)

    def _look_again(self, ahead: int) -> None:
        """Whether fewer jobs would have to be tested than a walk has still to pass.

        Raises:
            _TooFew: so it is.
        """
        walks = self._few_walks(min(ahead, _SEVERAL))
        if walks is not None:
            raise _TooFew(walks)

    # ---------------------------------------------------------------------------- counts

    def _count(self) -> int:
        jobs = t.jobs.c.id
        ids = self._few_ids(_SEVERAL)
        if ids is not None:
            query = select(jobs).where(among(jobs, ids), *conditions(self._terms))
        elif (led := next((term for term in self._terms if walks_of(term)), None)) is None:
            query = select(jobs).where(*conditions(self._terms))
        else:
            found = union_all(*(walk.any_ids() for walk in walks_of(led) or ())).subquery()
            one = select(found.c.id.label("id")).distinct().subquery()
            rest = [term for term in self._terms if term is not led or not is_exact(led)]
            query = select(one.c.id).where(*conditions_of_id(rest, one.c.id, one))
        counted = select(func.count()).select_from(query.subquery())
        return int(self._connection.scalar(counted) or 0)


def _flat(terms: Sequence[Term]) -> list[Term]:
    """All terms that have to hold, apart."""
    found: list[Term] = []
    for term in terms:
        found += _flat(term.parts) if isinstance(term, Every) else [term]
    return found


def _stage(at: Sequence[Any]) -> int:
    """In which part's walk a place is: that of its first value; behind all, where it has none."""
    return next((nth for nth, value in enumerate(at[:-1]) if value is not None), len(at) - 1)


def _left(limit: int | None, rows: Sequence[Row]) -> int | None:
    return None if limit is None else limit - len(rows)


def _leading(terms: Sequence[Term]) -> tuple[str, Test | None]:
    """The column that must have some values, along each of which an index leads by ids."""
    for name in _EQUALS:
        for term in terms:
            if isinstance(term, Test) and _equals(term, name):
                return name, term
    return "", None


def _equals(term: Test, name: str) -> bool:
    if term.subject != Column(name):
        return False
    if term.op == "missing":
        return name in ("batch", "name")
    return term.op in ("=", "in") and len(term.values) <= _MOST_VALUES


def _narrowed(walk: Walk, terms: Sequence[Term]) -> tuple[Walk, Sequence[Term]]:
    """A walk within the bounds that terms set to its own values."""
    for term in terms:
        if walk.key is None or not isinstance(term, Test) or not is_exact(term):
            continue
        own = term.subject == walk.subject and term.op != "missing"
        if own and len(ranges := ranges_of(term)) == 1:
            walk = walk.within(ranges[0])
            terms = [each for each in terms if each is not term]
    return walk, terms
