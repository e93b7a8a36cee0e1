"""Twins: jobs that do the same. One of them computes, and the others share what comes of it.

Equal work has an equal `identity` (see `cvq.identity`). Who submits it once an equal job has
succeeded gets a job that has ended already, with that one's result; who does while that one is
unfinished gets a job that waits for it. `twin_of` says which job has computed, or does; where that
did not succeed, the next of those that wait runs in its place.

Two that are submitted at once never miss each other: on SQLite there is one writer at a time, and
on Postgres whoever looks for twins holds a lock of their identity until its own job is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Table,
    cast,
    func,
    insert,
    select,
    update,
)

from .. import tables as t
from ..given import among
from ..states import FINAL, Role, State
from ..tables import now
from .events import add_event, add_events
from .order import new_rank

_MOST_LOOKED_AT = 50  # jobs of an identity, the newest
_SETTLED_AT_ONCE = 1_000
_LOCKS = 0x637671  # the class of the locks of identities on a server


class Wanted(NamedTuple):
    """A job that may share another's result.

    Attributes:
        identities: under which such a job may be found.
        code: the version of the kind's code by which the result is to be made.
        queue, priority: of the job.
        after: the jobs that it waits for.
        own: its id, once it has one.
    """

    identities: Collection[str]
    code: str | None
    queue: str
    priority: int
    after: Collection[int] = ()
    own: int = 0


class Twin(NamedTuple):
    """A job to share with: which has the rows, which has computed them or does, and whether."""

    id: int
    root: int
    is_done: bool


def find(connection: Connection, wanted: Wanted) -> Twin | None:
    """The job whose result another may share now, or is to wait for.

    One that has not begun is waited for where it can begin as soon as the other could: in the same
    queue, for its turn alone.
    """
    lock(connection, wanted.identities)
    return look(connection, wanted)


def look(connection: Connection, wanted: Wanted) -> Twin | None:
    """The same without the lock, for who submits nothing: it may be another a moment later."""
    return _find(connection, wanted)


def share(connection: Connection, source: int, job_ids: Sequence[int], by: str) -> bool:
    """Let waiting twins succeed with the result, figures and files of a job.

    Returns:
        False where that job has gone meanwhile: nothing was changed.
    """
    jobs, origin = t.jobs.c, t.jobs.alias("origin")
    # Who prunes it waits, and sees then that others have its files.
    held = select(jobs.id).where(jobs.id == source, t.in_state(State.SUCCEEDED))
    if connection.scalar(held.with_for_update(read=True, key_share=True)) is None:
        return False
    own = among(jobs.id, job_ids)
    copied = {
        name: select(origin.c[name]).where(origin.c.id == source).scalar_subquery()
        for name in ("result", "metrics", "progress")
    }
    root = connection.scalar(select(func.coalesce(jobs.twin_of, jobs.id)).where(jobs.id == source))
    values = {"state": State.SUCCEEDED, "twin_of": root, "not_before": None, "finished_at": now()}
    connection.execute(update(t.jobs).where(own).values(**values, **copied))
    for table, which in (
        (t.summaries, None),
        (t.artifacts, t.artifacts.c.role != Role.CHECKPOINT),
        (t.attributes, t.attributes.c.source == "result"),
    ):
        _copy(connection, table, source, own, which)
    add_events(connection, job_ids, f"succeeded: the same as job {root}", by)
    return True


def hurry(connection: Connection, root: int, wanted: Wanted, by: str) -> None:
    """Let a queued job take its turn as early as one that waits for it would."""
    jobs = t.jobs.c
    row = connection.execute(
        select(jobs.queue, jobs.user)
        .where(jobs.id == root, t.in_state(State.QUEUED), jobs.priority < wanted.priority)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if row is None:
        return
    rank = new_rank(connection, row.queue, wanted.priority, row.user)
    values = {"priority": wanted.priority, "fair_rank": rank}
    connection.execute(update(t.jobs).where(jobs.id == root).values(**values))
    what = f"priority {wanted.priority}: job {wanted.own}, which does the same, waits for it"
    add_event(connection, root, what, by)


def settle(connection: Connection, ready: ColumnElement[bool], by: str) -> None:
    """Let the twins go on whose job has ended: they share its result, or the first of them runs.

    Args:
        connection: the transaction.
        ready: the condition that a waiting job waits for nothing else.
        by: who looks.
    """
    jobs, root = t.jobs.c, t.jobs.alias("root")
    over = root.c.id.is_(None) | root.c.state.in_(FINAL)
    rows = connection.execute(
        select(
            jobs.id, jobs.identity, jobs.origin, jobs.queue, jobs.priority, jobs.twin_of,
            root.c.state.label("root_state"), root.c.attempt.label("root_attempt"),
        )
        .select_from(t.jobs.outerjoin(root, root.c.id == jobs.twin_of))
        .where(t.in_state(State.WAITING), jobs.twin_of.is_not(None), over, ready)
        .order_by(jobs.id)
        .limit(_SETTLED_AT_ONCE)
        .with_for_update(of=t.jobs, skip_locked=True)
    ).all()  # fmt: skip
    left = _share_all(connection, rows, by)
    running: dict[tuple[str | None, str], int] = {}
    for row in left:
        _go_on(connection, row, running, by)


def _share_all(connection: Connection, rows: Sequence[Any], by: str) -> list[Any]:
    """Share what has succeeded; return those that cannot."""
    by_root: dict[int, list[Any]] = {}
    left = []
    for row in rows:
        if row.root_state == State.SUCCEEDED:
            by_root.setdefault(row.twin_of, []).append(row)
        else:
            left.append(row)
    for root, twins in by_root.items():
        code = _code_run(connection, root, twins[0].root_attempt)
        alike = [row for row in twins if code is not None and code == _code(row)]
        if alike and not share(connection, root, [row.id for row in alike], by):
            alike = []
        ids = {row.id for row in alike}
        left += [row for row in twins if row.id not in ids]
    return sorted(left, key=lambda row: int(row.id))


def _go_on(
    connection: Connection, row: Row[Any], running: dict[tuple[str | None, str], int], by: str
) -> None:
    """Let a twin whose job was of no use wait for another, or run itself.

    Args:
        connection: the transaction.
        row: of the twin.
        running: those that run themselves from now on, by identity and queue.
        by: who looks.
    """
    if row.identity is not None and not _try_lock(connection, row.identity):
        return  # somebody is submitting one of them
    wanted = Wanted(
        [row.identity] if row.identity else [], _code(row), row.queue, row.priority, own=row.id
    )
    root = running.get((row.identity, row.queue))
    twin = _find(connection, wanted) if root is None else Twin(root, root, is_done=False)
    if twin is not None and twin.is_done and share(connection, twin.id, [row.id], by):
        return
    root = None if twin is None or twin.is_done else twin.root
    connection.execute(update(t.jobs).where(t.jobs.c.id == row.id).values(twin_of=root))
    if root is None:
        running[row.identity, row.queue] = row.id
        what = f"runs itself: job {row.twin_of}, which does the same, gave no result for it"
        add_event(connection, row.id, what, by)


# ---------------------------------------------------------------------------- looking


def _find(connection: Connection, wanted: Wanted) -> Twin | None:
    jobs = t.jobs.c
    rows = connection.execute(
        select(*_LOOKED_AT)
        .where(jobs.identity.in_(wanted.identities), jobs.id != wanted.own)
        .order_by(jobs.id.desc())
        .limit(_MOST_LOOKED_AT)
    ).all()
    for row in rows:
        if row.state == State.SUCCEEDED and row.trashed_at is None:
            if row.twin_of is not None:  # whose code was looked at when it got its result
                return Twin(row.id, row.twin_of, is_done=True)
            if _made_by(connection, row, wanted.code):
                return Twin(row.id, row.id, is_done=True)
    roots = {row.twin_of or row.id for row in rows if row.state not in FINAL}
    return _find_unfinished(connection, roots - {wanted.own}, wanted) if roots else None


def _find_unfinished(
    connection: Connection, roots: Collection[int], wanted: Wanted
) -> Twin | None:
    jobs = t.jobs.c
    rows = connection.execute(
        select(*_LOOKED_AT)
        .where(among(jobs.id, roots), jobs.twin_of.is_(None), jobs.cancel_requested.is_(False))
        .order_by(jobs.id)
    ).all()
    running = [row for row in rows if row.state == State.RUNNING]
    for row in running:
        if _made_by(connection, row, wanted.code):
            return Twin(row.id, row.id, is_done=False)
    for row in rows:
        if row.queue == wanted.queue and _begins_as_soon(connection, row, wanted):
            return Twin(row.id, row.id, is_done=False)
    return None


def _begins_as_soon(connection: Connection, row: Row[Any], wanted: Wanted) -> bool:
    """Whether a job that does not run waits for its turn alone, or for what another waits for."""
    if row.state == State.QUEUED or (row.state == State.WAITING and row.attempt > 0):
        return True
    if row.state != State.WAITING or row.not_before is not None:
        return False
    jobs, links = t.jobs.c, t.dependencies.c
    parents = connection.scalars(select(links.parent_id).where(links.job_id == row.id)).all()
    roots = connection.scalars(select(jobs.twin_of).where(among(jobs.id, wanted.after)))
    return {*wanted.after, *roots}.issuperset(parents)


_LOOKED_AT = [
    t.jobs.c[name]
    for name in (
        "id", "state", "attempt", "queue", "priority", "not_before", "twin_of", "trashed_at",
    )
]  # fmt: skip


def _made_by(connection: Connection, row: Row[Any], code: str | None) -> bool:
    return code is not None and _code_run(connection, row.id, row.attempt) == code


def _code_run(connection: Connection, job_id: int, attempt: int) -> str | None:
    """The version of the code that an attempt runs, or has run."""
    a = t.attempts.c
    versions = connection.scalar(select(a.versions).where(a.job_id == job_id, a.number == attempt))
    code = versions.get("code") if isinstance(versions, Mapping) else None
    return code if isinstance(code, str) else None


def _code(row: Row[Any]) -> str | None:
    """The version of the code by which a job wants its result to be made."""
    code = row.origin.get("code") if isinstance(row.origin, Mapping) else None
    return code if isinstance(code, str) else None


def _copy(
    connection: Connection, table: Table, source: int, own: ColumnElement[bool],
    which: ColumnElement[bool] | None,
) -> None:  # fmt: skip
    """Copy a job's rows of a table to other jobs."""
    columns = [column for column in table.c if column.name not in ("id", "job_id")]
    both = t.jobs.join(table, table.c.job_id == source)
    rows = select(t.jobs.c.id, *columns).select_from(both).where(own)
    if which is not None:
        rows = rows.where(which)
    if "id" in table.c:
        rows = rows.order_by(t.jobs.c.id, table.c.id)
    names = ["job_id", *(column.name for column in columns)]
    connection.execute(insert(table).from_select(names, rows))


# ---------------------------------------------------------------------------- locks


def lock(connection: Connection, identities: Iterable[str]) -> None:
    """Hold the locks of some identities to the end of the transaction.

    Whoever submits several jobs in it takes the locks of all of them first: in one order, lest two
    wait for each other.
    """
    if connection.dialect.name == "postgresql":
        keys = sorted({_key(identity) for identity in identities})
        if keys:
            each = func.unnest(cast(keys, ARRAY(Integer))).column_valued("key")
            connection.execute(select(func.pg_advisory_xact_lock(_LOCKS, each)))


def _try_lock(connection: Connection, identity: str) -> bool:
    """The same, where nobody else has it: whoever holds rows of jobs waits for no such lock."""
    if connection.dialect.name != "postgresql":
        return True
    lock = func.pg_try_advisory_xact_lock(_LOCKS, _key(identity))
    return bool(connection.scalar(select(lock)))


def _key(identity: str) -> int:
    """One of 256: a server has room for some thousand locks, and a sweep that many identities."""
    return hashlib.sha256(identity.encode()).digest()[0]
