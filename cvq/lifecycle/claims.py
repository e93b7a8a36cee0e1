"""A claim: the job that comes next and fits becomes a running attempt of the worker that asks.

With it may come others of its batch key, which a worker runs together: a micro-batch.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from .. import tables as t
from ..db_errors import is_about_a_value, reason_of
from ..errors import UsageError
from ..matching import Needs, Offer, misfit
from ..records import Job
from ..states import Reason, State
from ..tables import now
from . import order
from .events import add_attempt_events, add_event
from .order import Place
from .values import fit, plain

LOOK_AHEAD = 32  # jobs among which one whose model is loaded comes first

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

    As `claim_batch`, for one job.
    """
    jobs = claim_batch(
        connection, worker=worker, host=host, queues=queues, token=token, lease=lease,
        device=device, versions=versions, offer=offer,
    )  # fmt: skip
    return jobs[0] if jobs else None


def claim_batch(
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
    most: int = 1,
    resident: Collection[str] = (),
) -> list[Job]:
    """Take the best queued job of these queues that fits, and those that may run along with it.

    `token` makes it idempotent: a claim whose answer was lost after the commit is asked for
    again with the same token and returns the same jobs.

    `offer` says what the slot can run; without one, any job fits. A job that cannot be claimed,
    because a value of its own cannot be read or stored, fails, and the next is taken.

    Args:
        connection, worker, host, queues, lease, device, versions: of the attempts.
        token: of this claim.
        offer: of the slot.
        most: items that are taken together; a job of a batch counts with those that it holds on
            average.
        resident: batch keys whose model the slot has loaded. A job with one of these is taken
            before others, among the first `LOOK_AHEAD` at its place.
    """
    # A token lasts as long as its attempts, so the state need not be asked for.
    of_token = select(t.jobs).where(t.jobs.c.claim_token == token).order_by(t.jobs.c.id)
    if taken := connection.execute(of_token).all():
        return [Job.from_row(row) for row in taken]
    attempt = fit(t.attempts, worker=worker, host=host, device=device, versions=versions)
    request = _Request(attempt, token, lease, offer, most, resident)
    busy: set[Place] = set()
    for _ in range(_MOST_LOOKS):
        open_to = (place for place in order.places(connection, queues) if place not in busy)
        place = next((place for place in open_to if not request.refuses(place)), None)
        if place is None:
            return []
        job_id = _next_at(connection, place, request)
        if job_id is None:  # whatever there is, others are taking it
            busy.add(place)
        elif job := _take_or_pass(connection, job_id, request):
            return [job, *_take_companions(connection, job, request)]
    return []  # the next claim goes on


def _next_at(connection: Connection, place: Place, request: _Request) -> int | None:
    """The job that comes next at a place, locked; one whose model is resident comes first."""
    if request.resident:
        found = order.preferred_at(connection, place, request.resident, LOOK_AHEAD)
        mine = select(t.jobs.c.id).where(t.jobs.c.id == found, t.in_state(State.QUEUED))
        if found is not None and connection.scalar(mine.with_for_update(skip_locked=True)):
            return found
    job_id: int | None = connection.scalar(order.next_at(place).with_for_update(skip_locked=True))
    return job_id


@dataclass(frozen=True)
class _Request:
    """A claim as it was asked for; `attempt` has the columns that the worker fills."""

    attempt: dict[str, Any]
    token: str
    lease: float
    offer: Offer | None
    most: int
    resident: Collection[str]

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
    [row] = _run(connection, [job_id], request)
    job, needs, seed = _understand(row)
    offer = request.offer
    if offer is not None and misfit(needs, offer):
        raise _MisfitError(needs.key)
    _begin(connection, [(job, row.started_at, seed)], request)
    return job


def _take_companions(connection: Connection, job: Job, request: _Request) -> list[Job]:
    """Take the jobs that may run along with one that is taken."""
    if job.batch_key is None:
        return []
    companions: list[Job] = []
    more = request.most // _items_of(connection, job) - 1
    if more > 0:
        try:
            with connection.begin_nested():
                companions = _take_more(connection, job, more, request)
        except Exception as error:
            if not is_about_a_value(error):
                raise  # else each is claimed by itself, and the one at fault fails then
    _note_micro_batch(connection, [job, *companions], request.token)
    return companions


def _take_more(connection: Connection, job: Job, most: int, request: _Request) -> list[Job]:
    """Take jobs of the same batch key; those that nobody could start fail."""
    companions = order.companions_of(job, most).with_for_update(skip_locked=True)
    queued: dict[int, tuple[Job, dict[str, Any]]] = {}
    for row in connection.execute(companions).all():
        try:
            each, _, seed = _understand(row)
        except UsageError as error:
            _fail_unclaimed(connection, row.id, str(error), request.worker)
        else:
            queued[row.id] = each, seed
    # Only what the statement changes: to read whole rows again takes longer than all the rest.
    changed = [t.jobs.c[name] for name in ("id", "attempt", "lease_until", "started_at")]
    started = {row.id: row for row in _run(connection, list(queued), request, changed)}
    taken = [
        (_running(each, started[id_], request), started[id_].started_at, seed)
        for id_, (each, seed) in queued.items()
    ]
    _begin(connection, taken, request)
    return [each for each, _, _ in taken]


def _running(job: Job, row: Row[Any], request: _Request) -> Job:
    """A job as its row is once it runs."""
    return replace(
        job, state=State.RUNNING, attempt=row.attempt, lease_owner=request.worker,
        lease_until=row.lease_until, started_at=row.started_at, finished_at=None,
        reason=None, error=None, progress=None,
    )  # fmt: skip


def _items_of(connection: Connection, job: Job) -> int:
    """How many items a job of its batch holds, on average."""
    b = t.batches.c
    row = connection.execute(select(b["items"], b.jobs).where(b.id == job.batch)).one_or_none()
    return 1 if row is None else max(1, -(-row[0] // max(1, row[1])))


def _run(
    connection: Connection,
    job_ids: Sequence[int],
    request: _Request,
    columns: Sequence[Any] = (t.jobs,),
) -> Sequence[Row[Any]]:
    """Let queued jobs run, under a lease of the worker that asks; their rows as they are then."""
    if not job_ids:
        return []
    return connection.execute(
        update(t.jobs)
        .where(t.jobs.c.id.in_(job_ids))
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
        .returning(*columns)
    ).all()


def _begin(
    connection: Connection, taken: Sequence[tuple[Job, Any, dict[str, Any]]], request: _Request
) -> None:
    """Enter the attempts of jobs that run now, each with its start and its seed."""
    if not taken:
        return
    connection.execute(
        insert(t.attempts),
        [
            {**request.attempt, **seed, "job_id": job.id, "number": job.attempt, "started_at": at}
            for job, at, seed in taken
        ],
    )
    add_attempt_events(
        connection, [job.attempt_id for job, _, _ in taken], "started", request.worker
    )


def _note_micro_batch(connection: Connection, jobs: Sequence[Job], token: str) -> None:
    """Write down which attempts run together."""
    a = t.attempts.c
    connection.execute(
        update(t.attempts)
        .where(a.job_id == bindparam("job"), a.number == bindparam("attempt"))
        .values(micro_batch=token, micro_batch_size=len(jobs)),
        [{"job": job.id, "attempt": job.attempt} for job in jobs],
    )


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
