"""A claim: the job that comes next and fits becomes a running attempt of the worker that asks.

With it may come others of its batch key, which a worker runs together: a micro-batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, insert, literal, select, update

from .. import tables as t
from ..db_errors import is_about_a_value, reason_of
from ..errors import UsageError
from ..given import among
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
    again: bool = True,
    code: Callable[[str], str | None] = lambda _: None,
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
        again: whether the same may have been asked for already; False of a new token.
        code: the version of a kind's code on this machine, noted among the versions.
    """
    if again:
        # A token lasts as long as its attempts, so the state need not be asked for.
        of_token = select(t.jobs).where(t.jobs.c.claim_token == token).order_by(t.jobs.c.id)
        if taken := connection.execute(of_token).all():
            return [Job.from_row(row) for row in taken]
    attempt = fit(t.attempts, worker=worker, host=host, device=device, versions=versions)
    request = _Request(attempt, token, lease, offer, most, resident, code)
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
    code: Callable[[str], str | None]

    def attempt_of(self, job: Job) -> dict[str, Any]:
        """The columns, as they are of an attempt of a job."""
        code = self.code(job.kind)
        versions = self.attempt["versions"]
        noted = versions if code is None else {**(versions or {}), "code": code}
        return {**self.attempt, "versions": noted}

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
    begun = {"job_id": job.id, "number": job.attempt, "started_at": row.started_at}
    if job.batch_key is not None:
        begun |= _together(request, 1)
    connection.execute(insert(t.attempts).values(**request.attempt_of(job), **seed, **begun))
    add_event(connection, job.id, f"attempt {job.attempt} started", request.worker)
    return job


def _take_companions(connection: Connection, job: Job, request: _Request) -> list[Job]:
    """Take the jobs that may run along with one that is taken."""
    if job.batch_key is None:
        return []
    companions: list[Job] = []
    more = request.most // _items_of(connection, job) - 1
    if more > 0:
        try:
            companions = _take_more(connection, job, more, request)
        except Exception as error:
            if not is_about_a_value(error):
                raise  # else each is claimed by itself, and the one at fault fails then
    if companions:
        a = t.attempts.c
        own = and_(a.job_id == job.id, a.number == job.attempt)
        together = _together(request, 1 + len(companions))
        connection.execute(update(t.attempts).where(own).values(**together))
    return companions


def _together(request: _Request, size: int) -> dict[str, Any]:
    """What the attempts of a micro-batch have in common."""
    return {"micro_batch": request.token, "micro_batch_size": size}


def _take_more(connection: Connection, job: Job, most: int, request: _Request) -> list[Job]:
    """Take jobs of the same batch key; those that nobody could start fail."""
    companions = order.companions_of(job, most).with_for_update(skip_locked=True)
    ids = list(connection.scalars(companions).all())
    while ids:
        try:
            with connection.begin_nested():
                return _take_all(connection, ids, job, request)
        except _DamagedError as damaged:
            for job_id, why in damaged.found.items():
                _fail_unclaimed(connection, job_id, why, request.worker)
            ids = [job_id for job_id in ids if job_id not in damaged.found]
    return []


class _DamagedError(Exception):
    """Rows of jobs cannot be read: why, by the id of each."""

    def __init__(self, found: dict[int, str]) -> None:
        self.found = found


def _take_all(
    connection: Connection, ids: Sequence[int], leader: Job, request: _Request
) -> list[Job]:
    """Take queued jobs, in this order, to run along with one that is taken.

    Raises:
        _DamagedError: some cannot be started; nothing that was done is to stay.
    """
    taken: dict[int, Job] = {}
    seeds: dict[int, Any] = {}
    damaged: dict[int, str] = {}
    for row in _run(connection, ids, request):
        try:
            taken[row.id], _, seeds[row.id] = _understand(row)
        except UsageError as error:
            damaged[row.id] = str(error)
    if damaged:
        raise _DamagedError(damaged)
    _begin_all(connection, leader, 1 + len(taken), request)
    given = [
        {"job": job_id, "attempt": taken[job_id].attempt, **seed}
        for job_id, seed in seeds.items()
        if seed["seed"] is not None
    ]
    if given:
        a = t.attempts.c
        own = and_(a.job_id == bindparam("job"), a.number == bindparam("attempt"))
        connection.execute(update(t.attempts).where(own), given)
    return [taken[job_id] for job_id in ids]


def _begin_all(connection: Connection, leader: Job, size: int, request: _Request) -> None:
    """Enter the attempts of all jobs of this claim but the first, which has its own.

    The database makes them of the jobs: to send each takes several times as long.
    """
    jobs = t.jobs.c
    companions = and_(jobs.claim_token == request.token, jobs.id != leader.id)
    attempt = {**request.attempt_of(leader), **_together(request, size)}
    given = [literal(value, t.attempts.c[name].type) for name, value in attempt.items()]
    connection.execute(
        insert(t.attempts).from_select(
            ["job_id", "number", "started_at", *attempt],
            select(jobs.id, jobs.attempt, jobs.started_at, *given).where(companions),
        )
    )
    add_attempt_events(connection, companions, "started", request.worker)


def _items_of(connection: Connection, job: Job) -> int:
    """How many items a job of its batch holds, on average."""
    if job.batch is None:
        return 1
    b = t.batches.c
    own = b["items"] - b.known  # what earlier batches have answered is in no job
    row = connection.execute(select(own, b.jobs).where(b.id == job.batch)).one_or_none()
    return 1 if row is None else max(1, -(-row[0] // max(1, row[1])))


def _run(connection: Connection, job_ids: Sequence[int], request: _Request) -> Sequence[Row[Any]]:
    """Let queued jobs run, under a lease of the worker that asks; their rows as they are then."""
    return connection.execute(
        update(t.jobs)
        .where(among(t.jobs.c.id, job_ids))
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
    ).all()


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
