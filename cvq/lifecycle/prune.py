"""Jobs that go for good, with all their rows. Their files go later: they are leftovers until then.

A job that another uses stays: its model is an input, its result is a twin's, or another waits for
it. So whoever removes many begins with the newest, as what is used is older than what uses it.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    delete,
    exists,
    insert,
    or_,
    select,
    update,
)

from .. import tables as t
from ..given import among
from ..missing import BATCH, JOB, SWEEP
from ..states import FINAL, Role
from ..sweep import Stage
from ..tables import now
from .events import add_events
from .values import fit

# What belongs to jobs, under their id.
OF_JOBS = tuple(
    table
    for table in t.metadata.sorted_tables
    if "job_id" in table.c and table.c.job_id.foreign_keys
)
LONG = (t.metrics, t.logs)  # of which one job may have a million rows
# The files of a job in groups: what a further attempt or a look needs, and all others.
GROUPS = {
    "checkpoints": (Role.CHECKPOINT, "checkpoint"),
    "samples": (Role.SAMPLE, Role.PREVIEW),
    "results": None,
}
_MERGED_S = 3600.0  # between two removals that are told as one


class Removed(NamedTuple):
    """What one step has removed: jobs by their ids, and how many rows these and others were."""

    jobs: list[int]
    rows: int


def may_go() -> ColumnElement[bool]:
    """Whether a job has ended, and is no trial of a sweep to which somebody adds."""
    return and_(t.in_state(*FINAL), or_(t.jobs.c.sweep.is_(None), ~of_open_sweep()))


def of_open_sweep() -> ColumnElement[bool]:
    """Whether a job is a trial of a sweep to which somebody adds, or will."""
    open_ = and_(t.sweeps.c.id == t.jobs.c.sweep, t.sweeps.c.stage == Stage.OPEN)
    return exists(select(t.sweeps.c.id).where(open_))


def uses(connection: Connection, ids: Collection[int]) -> list[tuple[int, int]]:
    """Which of some jobs are used, each with the job that uses it."""
    jobs, i, d = t.jobs.c, t.inputs.c, t.dependencies.c
    waiting = select(d.parent_id, d.job_id).join(t.jobs, jobs.id == d.job_id)
    queries = (
        select(i.source_job, i.job_id).where(among(i.source_job, ids)),
        select(jobs.twin_of, jobs.id).where(among(jobs.twin_of, ids)),
        waiting.where(among(d.parent_id, ids), jobs.state.not_in(FINAL)),
    )
    return [(used, user) for query in queries for used, user in connection.execute(query)]


def unused(
    ids: Iterable[int], used: Iterable[tuple[int, int]], going: Container[int] = ()
) -> list[int]:
    """Those of some jobs that nobody uses who stays, the newest first.

    Args:
        ids: of the jobs.
        used: as `uses` finds it.
        going: others that go, too.
    """
    users: dict[int, list[int]] = {}
    for one, user in used:
        users.setdefault(one, []).append(user)
    free: dict[int, None] = {}
    for job in sorted(ids, reverse=True):
        if all(user in free or user in going for user in users.get(job, ())):
            free[job] = None
    return list(free)


def remove(
    connection: Connection, ids: Collection[int], by: str, which: Sequence[ColumnElement[bool]]
) -> Removed:
    """Remove jobs that have ended, but those that another uses or somebody changes just now.

    Args:
        connection: the transaction, which should be a short one.
        ids: of the jobs, some hundred at most.
        by: who removes them.
        which: what else they must be when it comes to it, conditions on `jobs`.
    """
    rows = going(connection, ids, which)
    removed = [row.id for row in rows]
    if not removed:
        return Removed([], 0)
    _leave_files(connection, removed)
    gone = 0
    for table in OF_JOBS:
        gone += connection.execute(delete(table).where(among(table.c.job_id, removed))).rowcount
    parents = delete(t.dependencies).where(among(t.dependencies.c.parent_id, removed))
    gone += connection.execute(parents).rowcount
    gone += connection.execute(delete(t.jobs).where(among(t.jobs.c.id, removed))).rowcount
    _note_pruned(connection, JOB, removed, by)
    gone += _remove_batches(connection, {row.batch for row in rows}, by)
    gone += _remove_sweeps(connection, {row.sweep for row in rows}, by)
    return Removed(removed, gone)


def going(
    connection: Connection, ids: Collection[int], which: Sequence[ColumnElement[bool]]
) -> list[Any]:
    """Those of some jobs that `remove` removes, locked: the id, batch and sweep of each."""
    rows = connection.execute(
        select(t.jobs.c.id, t.jobs.c.batch, t.jobs.c.sweep)
        .where(among(t.jobs.c.id, ids), may_go(), *which)
        .order_by(t.jobs.c.id)
        .with_for_update(of=t.jobs, skip_locked=True)
    ).all()
    # Asked for once they are locked: whoever was about to use one has done so, or will not.
    by_id = {row.id: row for row in rows}
    return [by_id[job] for job in unused(by_id, uses(connection, list(by_id)))]


def trim(connection: Connection, job_id: int, most: int) -> int:
    """Remove some of the long rows of a job that is to go; return how many, 0 at the end."""
    for table in LONG:
        some = select(table.c.id).where(table.c.job_id == job_id).limit(most)
        gone = connection.execute(delete(table).where(table.c.id.in_(some))).rowcount
        if gone:
            return gone
    return 0


def withdraw(connection: Connection, batch_id: int, seen: Collection[int]) -> bool:
    """Keep a batch that is to go from answering items of others.

    Args:
        connection: the transaction.
        batch_id: of the batch.
        seen: the batches with known items of which it is certain that they do not need it.

    Returns:
        whether it may go: False where another batch came meanwhile that may need it.
    """
    b = t.batches.c
    row = connection.execute(
        select(b.cache_key, b.manifest).where(b.id == batch_id).with_for_update()
    ).one_or_none()
    if row is None or row.manifest is None:
        return True
    others = select(b.id).where(b.cache_key == row.cache_key, b.known > 0, b.id != batch_id)
    if set(connection.scalars(others)) - set(seen):
        return False
    connection.execute(insert(t.leftovers).values(sha256=row.manifest))
    connection.execute(
        update(t.batches).where(b.id == batch_id).values(cache_key=None, manifest=None)
    )
    return True


def forget_files(
    connection: Connection,
    ids: Collection[int],
    group: str,
    by: str,
    asked: Sequence[ColumnElement[bool]] = (),
) -> Removed:
    """Forget files of jobs that have ended and stay, of one of the `GROUPS`.

    Without its results a job answers no later one; the results of one that others use stay.
    `asked` is what else the jobs must be when it comes to it.
    """
    rows = connection.scalars(
        select(t.jobs.c.id)
        .where(among(t.jobs.c.id, ids), may_go(), *asked)
        .order_by(t.jobs.c.id)
        .with_for_update(of=t.jobs, skip_locked=True)
    ).all()
    losing = list(rows)
    if group == "results":
        used = {one for one, _ in uses(connection, rows)}
        losing = [job for job in rows if job not in used]
    which = in_group(group)
    a = t.artifacts.c
    having = set(connection.scalars(select(a.job_id).where(among(a.job_id, losing), which)))
    _leave_files(connection, having, which)
    gone = connection.execute(delete(t.artifacts).where(among(a.job_id, having), which)).rowcount
    add_events(connection, sorted(having), f"{group} pruned", by)
    if group == "results":
        done = update(t.jobs).where(among(t.jobs.c.id, having))
        connection.execute(done.values(identity=None))
    return Removed(sorted(having), gone)


def in_group(group: str) -> ColumnElement[bool]:
    """Whether an artifact is of one of the `GROUPS`."""
    roles = GROUPS[group]
    if roles is not None:
        return t.artifacts.c.role.in_(roles)
    return t.artifacts.c.role.not_in([role for some in GROUPS.values() for role in some or ()])


def own_files(ids: Collection[int]) -> Select[Any]:
    """The artifacts of some jobs, those of a twin left out: the job that has made them stays."""
    a, o = t.artifacts.c, t.artifacts.alias("others").c
    shared = exists(
        select(o.id)
        .where(o.job_id == t.jobs.c.twin_of, o.uri == a.uri)
        .correlate(t.jobs, t.artifacts)
    )
    of_jobs = t.artifacts.join(t.jobs, t.jobs.c.id == a.job_id)
    return select(t.artifacts).select_from(of_jobs).where(among(a.job_id, ids), ~shared)


def own_inputs(ids: Collection[int]) -> Select[Any]:
    """The files in the store that some jobs take, each as often as they do; models are none."""
    i = t.inputs.c
    return select(i.sha256).where(
        among(i.job_id, ids), i.sha256.is_not(None), i.source_job.is_(None)
    )


def _leave_files(
    connection: Connection, ids: Collection[int], which: ColumnElement[bool] | None = None
) -> None:
    """Take down the files that may have nobody when the rows of these jobs are gone."""
    a = t.artifacts.c
    files = own_files(ids).with_only_columns(a.job_id, a.uri, a.sha256)
    if which is not None:
        files = files.where(which)
    columns = ["job_id", "uri", "sha256"]
    connection.execute(insert(t.leftovers).from_select(columns, files))
    if which is None:
        inputs = own_inputs(ids).distinct()
        connection.execute(insert(t.leftovers).from_select(["sha256"], inputs))


def remove_batch(connection: Connection, batch_id: int, by: str) -> int:
    """Remove the row of a batch without jobs; return how many rows that were."""
    return _remove_batches(connection, {batch_id}, by)


def _remove_batches(connection: Connection, some: Iterable[int | None], by: str) -> int:
    """Remove those of some batches of which no job is left; return how many."""
    b = t.batches.c
    empty = _empty(connection, t.batches, t.jobs.c.batch, some)
    which = among(b.id, empty)
    manifests = select(b.manifest).where(which, b.manifest.is_not(None))
    connection.execute(insert(t.leftovers).from_select(["sha256"], manifests))
    connection.execute(delete(t.batches).where(which))
    _note_pruned(connection, BATCH, empty, by)
    return len(empty)


def _remove_sweeps(connection: Connection, some: Iterable[int | None], by: str) -> int:
    """The same of sweeps."""
    empty = _empty(connection, t.sweeps, t.jobs.c.sweep, some)
    connection.execute(delete(t.sweeps).where(among(t.sweeps.c.id, empty)))
    _note_pruned(connection, SWEEP, empty, by)
    return len(empty)


def _empty(
    connection: Connection, groups: Table, group: ColumnElement[Any], some: Iterable[int | None]
) -> list[int]:
    """Those of some batches or sweeps of which no job is left, locked."""
    numbers = [number for number in some if number is not None]
    if not numbers:
        return []
    left = exists(select(t.jobs.c.id).where(group == groups.c.id))
    query = select(groups.c.id).where(among(groups.c.id, numbers), ~left).with_for_update()
    return list(connection.scalars(query))


def _note_pruned(connection: Connection, what: str, ids: Collection[int], by: str) -> None:
    """Take down what there was, as ranges; one right below a late one makes it longer."""
    p, who = t.pruned.c, fit(t.pruned, by=by)["by"]
    ranges = ranges_of(ids)
    above = among(p.first, [last + 1 for _, last in ranges])
    late = select(p.first).where(p.what == what, above, p.by == who, p.at >= now(-_MERGED_S))
    longer = set(connection.scalars(late))
    for first, last in ranges:
        if last + 1 in longer:
            own = and_(p.what == what, p.first == last + 1)
            connection.execute(update(t.pruned).where(own).values(first=first))
    new = [
        {"what": what, "first": a, "last": z, "by": who} for a, z in ranges if z + 1 not in longer
    ]
    if new:
        connection.execute(insert(t.pruned).values(at=now()), new)


def ranges_of(ids: Iterable[int]) -> list[tuple[int, int]]:
    """Ids as ranges of such as follow each other, the lowest first."""
    found: list[tuple[int, int]] = []
    for each in sorted(ids):
        if found and found[-1][1] == each - 1:
            found[-1] = (found[-1][0], each)
        else:
            found.append((each, each))
    return found
