"""The jobs that a user's references mean: `12`, `3-7`, `@` and `@~1`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from .. import queries
from ..errors import UsageError
from ..missing import no_job
from ..parse import Reference
from ..text import join

_MOST_BATCHES = 100  # of one reference


def resolve(connection: Connection, user: str, references: Iterable[Reference]) -> list[int]:
    """The ids of the jobs that some references mean, each once, in the order given.

    Args:
        connection: of the database.
        user: whose last job `@` is.
        references: as `cvq.parse.reference` reads them.

    Raises:
        UnknownJobError: a reference means no job.
        UsageError: the user has not submitted that many jobs.
    """
    found: dict[int, None] = {}
    for first, last, back in references:
        if back is not None:
            ids = [queries.last_jobs(connection, user, back)]
        else:
            ids = queries.ids_between(connection, first, last)
        if not ids:
            raise no_job(connection, first, last)
        found.update(dict.fromkeys(ids))
    return list(found)


def resolve_one(connection: Connection, user: str, reference: Reference) -> int:
    """The id of the one job that a reference means.

    Raises:
        UnknownJobError: it means no job.
        UsageError: it means several, or the user has not submitted that many.
    """
    ids = resolve(connection, user, [reference])
    if len(ids) > 1:
        raise UsageError(
            f"{reference.first}-{reference.last} is {len(ids)} jobs: give one job, not a range"
        )
    return ids[0]


def resolve_batches(
    connection: Connection, user: str, references: Iterable[Reference]
) -> list[int]:
    """The ids of the batches that some references mean, in order; `@` is the user's last.

    Raises:
        UnknownBatchError: there is no such batch.
        UsageError: the user has not submitted that many.
    """
    found: dict[int, None] = {}
    for first, last, back in references:
        if back is None:
            if last - first > _MOST_BATCHES:
                raise UsageError(f"{first}-{last}: more than {_MOST_BATCHES} batches")
            numbers = [queries.get_batch(connection, n).id for n in range(first, last + 1)]
        else:
            own = queries.last_batches(connection, [user], back + 1)
            if len(own) <= back:
                raise UsageError(f"you ({user}) have not submitted that many batches")
            numbers = [own[back].id]
        found.update(dict.fromkeys(numbers))
    return list(found)


def check_attempt(connection: Connection, job_ids: Sequence[int], attempt: int | None) -> None:
    """Refuse an attempt that none of some jobs has had; None is any.

    Raises:
        UsageError: no job has one of this number; of a single job, those that it has are named.
    """
    if attempt is None:
        return
    known = {each.number for job_id in job_ids for each in queries.attempts_of(connection, job_id)}
    if attempt in known:
        return
    if len(job_ids) > 1:
        raise UsageError(f"none of these jobs has an attempt {attempt}")
    had = f"it has had {join(sorted(known))}" if known else "it has had none"
    raise UsageError(f"job {job_ids[0]} has no attempt {attempt}: {had}")
