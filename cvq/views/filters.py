"""Which jobs of the history are meant: what a filter asks of each, and their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection

from .. import parse, queries
from ..errors import UsageError
from ..missing import no_job
from ..query import conditions as sql
from ..query.keys import Key, parse_order
from ..query.meaning import Attribute as Meant
from ..query.meaning import Column, Either, Term, Test, as_column, fields_of, meaning
from ..query.names import sources_of
from ..query.parser import MOST_VALUES
from ..query.parser import parse as parse_condition
from ..query.patterns import Pattern, of_shell
from ..query.search import Search
from ..query.tree import Condition, Field, Value, all_of
from ..records import Job
from ..states import State

_CHUNK = 500  # jobs that `pages` reads at a time


@dataclass(frozen=True)
class Filter:
    """Which jobs to list; an empty field does not filter, and all the others have to hold.

    Attributes:
        ids, states, reasons, kinds, users, workers, queues, batches, sweeps: of which a job has
            one; its worker is that of its last attempt.
        names: patterns with `*` and `?`, of which its name is as one.
        alone: leaves out the jobs of batches.
        tags: each a key, and the value that it must have; None is any.
        since, until: when it was submitted: then or later, and before then.
        where: a condition in the language of `cvq.query`.
        trashed: those in the trash as well, as where a condition asks for `trashed`.
        sort: keys as `cvq.query.keys` reads them: `-val_accuracy`. Of jobs that are equal in it,
            and without it, the newest comes first where it falls, and last where it rises.
        limit: at most so many.
    """

    ids: Sequence[int] = ()
    states: Sequence[str] = ()
    reasons: Sequence[str] = ()
    kinds: Sequence[str] = ()
    users: Sequence[str] = ()
    names: Sequence[str] = ()
    workers: Sequence[str] = ()
    queues: Sequence[str] = ()
    batches: Sequence[int] = ()
    sweeps: Sequence[int] = ()
    alone: bool = False
    tags: Sequence[tuple[str, str | None]] = ()
    since: datetime | None = None
    until: datetime | None = None
    where: Condition | None = None
    trashed: bool = False
    sort: str | None = None
    limit: int | None = None

    @property
    def keys(self) -> tuple[Key, ...]:
        """What `sort` says.

        Raises:
            UsageError: it cannot be read.
        """
        if self.sort is None:
            return ()
        if not self.sort.strip():  # as of a shell's variable that is not set
            raise UsageError(f"sort: '{self.sort}' names nothing")
        return parse_order(self.sort)


@dataclass(frozen=True)
class Page:
    """Jobs in order; `after` is what to go on from, None where there are no more."""

    jobs: list[Job]
    after: str | None


def asked(
    *,
    kind: str | Sequence[str] = (),
    state: str | Sequence[str] = (),
    reason: str | Sequence[str] = (),
    user: str | Sequence[str] = (),
    name: str | Sequence[str] = (),
    worker: str | Sequence[str] = (),
    queue: str | Sequence[str] = (),
    batch: int | Sequence[int] = (),
    sweep: int | Sequence[int] = (),
    tag: str | Sequence[str] | Mapping[str, str] = (),
    where: str | Condition | Sequence[str | Condition] = (),
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    trashed: bool = False,
    sort: str | None = None,
    limit: int | None = None,
) -> Filter:
    """The filter that a program's words mean: see `Client.jobs`.

    Raises:
        UsageError: a condition cannot be read.
    """
    return Filter(
        kinds=_several(kind),
        states=[_state(each) for each in _several(state)],
        reasons=_several(reason),
        users=_several(user),
        names=_several(name),
        workers=_several(worker),
        queues=_several(queue),
        batches=[batch] if isinstance(batch, int) else batch,
        sweeps=[sweep] if isinstance(sweep, int) else sweep,
        tags=_tags(tag),
        where=conditions_of(where),
        since=moment_of(since),
        until=moment_of(until),
        trashed=trashed,
        sort=sort,
        limit=limit,
    )


def conditions_of(where: str | Condition | Sequence[str | Condition]) -> Condition | None:
    """One condition that means all of these; None for none.

    Raises:
        UsageError: one cannot be read.
    """
    several = where if isinstance(where, list | tuple) else [where]
    return all_of(*(parse_condition(each) if isinstance(each, str) else each for each in several))  # type: ignore[arg-type]


def find(connection: Connection, wanted: Filter, after: str | None = None) -> list[Job]:
    """Jobs, the newest first unless `sort` says otherwise.

    Args:
        connection: of the database.
        wanted: which.
        after: what a page ended with: those behind it alone.

    Raises:
        UsageError: what is asked of a name cannot be, or `after` is of another list.
    """
    return page(connection, wanted, after).jobs


def page(connection: Connection, wanted: Filter, after: str | None = None) -> Page:
    """The same, and where to go on: at most `limit` jobs, all where that is None."""
    found = _search(connection, wanted).page(wanted.limit, after)
    by_id = {job.id: job for job in queries.get_jobs(connection, found.ids)}
    return Page([by_id[each] for each in found.ids if each in by_id], found.after)


def place_of(connection: Connection, wanted: Filter, job_id: int) -> str:
    """Where a job stands in the order of a filter, to go on `after` it.

    It need not be meant by the filter, as it may have been when it was listed.

    Raises:
        UnknownJobError: there is no such job, or none any more.
    """
    place = _search(connection, wanted).place_of(job_id)
    if place is None:
        raise no_job(connection, job_id)
    return place


def pages(
    read: Callable[[], AbstractContextManager[Connection]],
    wanted: Filter,
    size: int | None = None,
    look: Callable[[Connection, list[Job]], None] = lambda *_: None,
    after: str | None = None,
) -> Iterator[list[Job]]:
    """All jobs that are meant, some at a time: however many they are, few are in memory.

    Args:
        read: opens a transaction, as `Database.read` does: one for each page, as whoever takes
            them may be slow.
        wanted: which.
        size: how many at a time; 500 where it is not said.
        look: reads what else is wanted of a page, in its transaction.
        after: as for `find`.
    """
    left, size = wanted.limit, size or _CHUNK
    while left is None or left > 0:
        limit = size if left is None else min(size, left)
        with read() as connection:
            found = page(connection, replace(wanted, limit=limit), after)
            look(connection, found.jobs)
        if found.jobs:
            yield found.jobs
        if (after := found.after) is None:
            return
        left = None if left is None else left - limit


def ids(connection: Connection, wanted: Filter) -> list[int]:
    """The ids of the jobs that are meant, in order."""
    return list(_search(connection, wanted).page(wanted.limit, None).ids)


def count(connection: Connection, wanted: Filter, most: int | None = None) -> int:
    """How many jobs a filter finds, whatever its limit; of more than `most`, that many."""
    return _search(connection, replace(wanted, sort=None)).count(most)


def conditions(connection: Connection, wanted: Filter) -> list[ColumnElement[bool]]:
    """What a filter asks of the table `jobs`."""
    return sql.conditions(terms(connection, wanted))


def terms(connection: Connection, wanted: Filter) -> list[Term]:
    """What a filter asks, all of which has to hold.

    Raises:
        UsageError: what is asked of a name cannot be.
    """
    _check_size(wanted)
    found: list[Term] = list(_plain(wanted))
    if wanted.names:
        patterns = [_like(of_shell(each)) for each in wanted.names]
        found.append(Either(tuple(patterns)) if len(patterns) > 1 else patterns[0])
    for key, value in wanted.tags:
        tag = Meant(key, "tags", "text")
        found.append(Test(tag, "present") if value is None else Test(tag, "=", (value,)))
    if wanted.where is not None:
        names = _bare(fields_of(wanted.where))
        found.append(meaning(wanted.where, sources_of(connection, names).__getitem__))
    return found


def _check_size(wanted: Filter) -> None:
    """Refuse more than a database takes, as several conditions or patterns may be together."""
    size = len(wanted.names) + len(wanted.tags) + sum(1 for _ in fields_of(wanted.where))
    if size > MOST_VALUES:
        raise UsageError(f"these are {size} conditions: {MOST_VALUES} can be asked for at once")


def _plain(wanted: Filter) -> Iterator[Test]:
    """What is asked of columns."""
    several: list[tuple[str, Sequence[Value]]] = [
        ("id", wanted.ids), ("batch", wanted.batches), ("sweep", wanted.sweeps),
        ("state", wanted.states), ("reason", wanted.reasons), ("kind", wanted.kinds),
        ("user", wanted.users), ("worker", wanted.workers), ("queue", wanted.queues),
    ]  # fmt: skip
    for name, values in several:
        if values:
            yield Test(Column(name), "in", tuple(values))
    if wanted.alone:
        yield Test(Column("batch"), "missing")
    if wanted.since:
        yield Test(Column("created"), ">=", (wanted.since,))
    if wanted.until:
        yield Test(Column("created"), "<", (wanted.until,))
    if not (wanted.trashed or _asks_for_trash(wanted)):
        yield Test(Column("trashed"), "missing")


def _asks_for_trash(wanted: Filter) -> bool:
    """Whether a condition asks when jobs were put in the trash: it means those that were."""
    return any(as_column(field) == "trashed" for field in fields_of(wanted.where))


def _bare(fields: Iterable[Field]) -> set[str]:
    """The names of which the history is to say what they mean."""
    return {each.name for each in fields if each.source is None and as_column(each) is None}


def _like(pattern: Pattern) -> Test:
    if pattern.is_plain:
        return Test(Column("name"), "=", (pattern.start,))
    return Test(Column("name"), "like", (pattern,))


def _search(connection: Connection, wanted: Filter) -> Search:
    keys = wanted.keys
    lookup = sources_of(connection, _bare(key.field for key in keys)).__getitem__
    return Search(connection, terms(connection, wanted), keys, lookup, wanted.sort)


def _several(value: str | Sequence[str]) -> Sequence[str]:
    """One word as a list of one."""
    return [value] if isinstance(value, str) else value


def _state(given: str) -> str:
    if given not in list(State):
        raise UsageError(f"state '{given}': give {', '.join(State)}")
    return given


def _tags(given: str | Sequence[str] | Mapping[str, str]) -> list[tuple[str, str | None]]:
    if isinstance(given, Mapping):
        return [(str(key), str(value)) for key, value in given.items()]
    return [parse.tag(text, value_needed=False) for text in _several(given)]


def moment_of(given: datetime | str | None) -> datetime | None:
    """A time as a program gives it: as it is, or as on the command line."""
    return parse.moment(given, ago=True) if isinstance(given, str) else given
