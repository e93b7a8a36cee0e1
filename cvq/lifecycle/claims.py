"""A claim: the job that comes next and fits becomes a running attempt of the worker that asks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from .. import tables as t
from ..db_errors import is_about_a_value, reason_of
from ..errors import UsageError
from ..matching import Needs, Offer, misfit
from ..records import Job
from ..states import Reason, State
from ..tables import now
from . import order
from .events import add_event
from .order import Place
from .values import fit, plain

_MOST_LOOKS = 20  # at jobs that do not fit or cannot be started, in one transaction
# To start a job.
_NEEDED = ("kind", "device", "spec", "time_limit", "soft_time_limit", "attempt", "max_attempts")


def claim(
    connection: Connection,
    *,
    worker: str,
    host: str,
    queues: Collection[str],
    token: str,
    lease: float,
    device: str | None = None,
    versions: dict[str, str] | None = None,
    offer: Offer | None = None,
) -> Job | None:
    """Take the best queued job of these queues that fits, as a new attempt, or return None.

    `token` makes it idempotent: a claim whose answer was lost after the commit is asked for
    again with the same token and returns the same job.

    `offer` says what the slot can run; without one, any job fits. A job that cannot be claimed,
    because a value of its own cannot be read or stored, fails, and the next is taken.
    """
    # A token lasts as long as its attempt, so the state need not be asked for.
    taken = connection.execute(select(t.jobs).where(t.jobs.c.claim_token == token)).one_or_none()
    if taken is not None:
        return Job.from_row(taken)
    attempt = fit(t.attempts, worker=worker, host=host, device=device, versions=versions)
    request = _Request(attempt, token, lease, offer)
    busy: set[Place] = set()
    for _ in range(_MOST_LOOKS):
        open_to = (place for place in order.places(connection, queues) if place not in busy)
        place = next((place for place in open_to if not request.refuses(place)), None)
        if place is None:
            return None
        job_id = connection.scalar(order.next_at(place).with_for_update(skip_locked=True))
        if job_id is None:  # whatever there is, others are taking it
            busy.add(place)
        elif job := _take_or_pass(connection, job_id, request):
            return job
    return None  # the next claim goes on


@dataclass(frozen=True)
class _Request:
    """A claim as it was asked for; `attempt` has the columns that the worker fills."""

    attempt: dict[str, Any]
    token: str
    lease: float
    offer: Offer | None

    @property
    def worker(self) -> str:
        return str(self.attempt["worker"])

    def refuses(self, place: Place) -> bool:
        return self.offer is not None and place.needs in self.offer.refused


def _take_or_pass(connection: Connection, job_id: int, request: _Request) -> Job | None:
    """Take a job that this connection has locked; else leave it to others, or let it fail."""
    try:
        with connection.begin_nested():
            return _take(connection, job_id, request)
    except _MisfitError as misfit:
        assert request.offer is not None
        request.offer.refused.add(misfit.key)
        changes = {"needs": misfit.key}  # which it may not have yet
        connection.execute(update(t.jobs).where(t.jobs.c.id == job_id).values(**changes))
    except Exception as error:
        if not is_about_a_value(error):
            raise
        _fail_unclaimed(connection, job_id, reason_of(error), request.worker)
    return None


class _MisfitError(Exception):
    """The job needs something else; `key` is that of its needs."""

    def __init__(self, key: str) -> None:
        self.key = key


def _take(connection: Connection, job_id: int, request: _Request) -> Job:
    row = connection.execute(
        update(t.jobs)
        .where(t.jobs.c.id == job_id)
        .values(
            state=State.RUNNING,
            attempt=t.jobs.c.attempt + 1,
            lease_owner=request.worker,
            lease_until=now(request.lease),
            claim_token=request.token,
            reason=None,
            error=None,
            progress=None,
            started_at=now(),
            finished_at=None,
        )
        .returning(t.jobs)
    ).one()
    job, needs, seed = _understand(row)
    offer = request.offer
    if offer is not None and misfit(needs, offer):
        raise _MisfitError(needs.key)
    connection.execute(
        insert(t.attempts).values(
            **request.attempt,
            **seed,
            job_id=job.id,
            number=job.attempt,
            started_at=row.started_at,
        )
    )
    add_event(connection, job.id, f"attempt {job.attempt} started", request.worker)
    return job


def _understand(row: Row[Any]) -> tuple[Job, Needs, dict[str, Any]]:
    """A job to be claimed, what it needs, and its seed as an attempt keeps it.

    Raises:
        UsageError: its row holds what nobody can start. Any other error is cvq's own, and is
            blamed on no job.
    """
    try:
        job = Job.from_row(row)
        needed = [job.damage[name] for name in _NEEDED if name in job.damage]
        if needed:
            raise UsageError("; ".join(needed))
        needs = Needs.of(job)
        needs.key  # noqa: B018 - made here, where what it cannot be made of is the row's fault
        return job, needs, fit(t.attempts, seed=job.spec.get("seed"))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UsageError(f"its row cannot be read ({type(error).__name__}: {error})") from error


def _fail_unclaimed(connection: Connection, job_id: int, why: str, by: str) -> None:
    """Let a queued job fail, as nobody could ever start it."""
    error = plain(f"it cannot be started: {why}")
    connection.execute(
        update(t.jobs)
        .where(t.jobs.c.id == job_id)
        .values(
            state=State.FAILED, finished_at=now(), **fit(t.jobs, reason=Reason.ERROR, error=error)
        )
    )
    add_event(connection, job_id, f"failed ({Reason.ERROR})", by)
