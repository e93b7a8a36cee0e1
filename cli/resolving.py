"""What the words of a command mean in this history: its filter, jobs, batches and sweeps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from cvq import parse
from cvq.errors import UsageError

if TYPE_CHECKING:
    from cvq.history import History
    from cvq.records import Job
    from cvq.views.filters import Filter

T = TypeVar("T")


def make_filter(
    history: History,
    *,
    state: Sequence[list[str]] = (),
    reason: Sequence[list[str]] = (),
    kind: Sequence[list[str]] = (),
    user: Sequence[list[str]] = (),
    name: Sequence[str] = (),
    worker: Sequence[list[str]] = (),
    queue: Sequence[list[str]] = (),
    batch: Sequence[list[parse.Reference]] = (),
    sweep: Sequence[list[parse.Reference]] = (),
    tag: Sequence[tuple[str, str | None]] = (),
    since: Any = None,
    until: Any = None,
    where: Sequence[str] = (),
    **more: Any,
) -> Filter:
    """The filter that the options of `filters` mean; `more` are fields of its own.

    Raises:
        UsageError: a query cannot be read: the message points at the place.
    """
    from cvq.views.filters import Filter, conditions_of

    return Filter(
        states=flat(state),
        reasons=flat(reason),
        kinds=flat(kind),
        users=flat(user),
        names=name,
        workers=flat(worker),
        queues=flat(queue),
        batches=resolve_batches(history, flat(batch)),
        sweeps=resolve_sweeps(history, flat(sweep)),
        tags=tag,
        since=since,
        until=until,
        where=conditions_of(where),
        **more,
    )


def times_of(wanted: Filter) -> list[str]:
    """The times of a filter as they were read."""
    from cvq.text import moment

    given = (("since", wanted.since), ("before", wanted.until))
    return [f"none submitted {word} {moment(time)}" for word, time in given if time is not None]


def find(client: History, wanted: Filter) -> list[Job]:
    """The jobs that a filter means."""
    from cvq.views import filters

    with client.db.read() as connection:
        return filters.find(connection, wanted)


def resolve(
    client: History, references: Iterable[parse.Reference], *, most: int | None = None
) -> list[int]:
    """The ids of the jobs that some references mean: see `cvq.views.references.resolve`.

    Raises:
        UsageError: these are more than `most`.
    """
    from cvq.views import references as views

    with client.db.read() as connection:
        found = views.resolve(connection, client.settings.user, references)
    if most is not None and len(found) > most:
        raise UsageError(f"{len(found):,} jobs are too many: give {most:,} at most")
    return found


def resolve_one(client: History, reference: parse.Reference) -> int:
    """The id of the one job that a reference means: see `cvq.views.references.resolve_one`."""
    from cvq.views import references

    with client.db.read() as connection:
        return references.resolve_one(connection, client.settings.user, reference)


def resolve_batches(client: History, references: Sequence[parse.Reference]) -> list[int]:
    """The ids of the batches that some references mean: see `cvq.views.references`."""
    from cvq.views import references as views

    if not references:
        return []
    with client.db.read() as connection:
        return views.resolve_batches(connection, client.settings.user, references)


def resolve_sweeps(client: History, references: Sequence[parse.Reference]) -> list[int]:
    """The ids of the sweeps that some references mean, in order; `@` is the user's last."""
    if not references:
        return []
    from cvq.sweeps.reading import get_sweep, last_sweeps

    found: list[int] = []
    with client.db.read() as connection:
        for first, last, back in references:
            if first != last:
                raise UsageError(f"{first}-{last}: give sweeps one by one")
            if back is None:
                found.append(get_sweep(connection, first).id)
                continue
            own = last_sweeps(connection, [client.settings.user], back + 1)
            if len(own) <= back:
                raise UsageError("you have not started that many sweeps")
            found.append(own[back].id)
    return found


def resolve_batch(client: History, reference: parse.Reference) -> int:
    """The id of the one batch that a reference means."""
    if reference.first != reference.last:
        raise UsageError(f"{reference.first}-{reference.last}: give one batch, not a range")
    return resolve_batches(client, [reference])[0]


def check_attempt(client: History, job_ids: Sequence[int], attempt: int | None) -> None:
    """Refuse an attempt that none of some jobs has had: see `cvq.views.references`."""
    from cvq.views import references

    with client.db.read() as connection:
        references.check_attempt(connection, job_ids, attempt)


def flat(lists: Iterable[Sequence[T]]) -> list[T]:
    """The values of an option that was given several times, each with commas."""
    return [value for values in lists for value in values]


def is_single(references: Sequence[parse.Reference]) -> bool:
    """Whether the words mean one job, not a range or several: JSON is then no list."""
    return len(references) == 1 and references[0].first == references[0].last
