"""What a prune would free, counted and not done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from sqlalchemy import Connection, func, select

from .. import tables as t
from ..artifacts import ArtifactStore
from ..db import Database
from ..given import among
from ..lifecycle import prune
from .plan import CHUNK, Plan, Tick
from .report import Report

_THREADS = 16
_DIGESTS_AT_ONCE = 500


def estimate(
    database: Database,
    artifacts: Callable[[], ArtifactStore],
    plan: Plan,
    groups: Sequence[str],
    tick: Tick,
) -> Report:
    """Count what a plan would free.

    Args:
        database: of the jobs.
        artifacts: the store.
        plan: what is to go.
        groups: of files, where these alone are to go.
        tick: told how many jobs are counted.
    """
    jobs = plan.jobs
    report = Report(jobs=len(jobs), batches=len(plan.batches), stays=plan.stays)
    going = set(jobs)
    taken: Counter[str] = Counter()
    losing = 0
    for start in range(0, len(jobs), CHUNK):
        some = jobs[start : start + CHUNK]
        with database.read() as connection:
            if groups:
                losing += _count_files(connection, some, groups, report)
            else:
                _count_all(connection, some, report)
                waited = select(t.dependencies.c.job_id)
                waited = waited.where(among(t.dependencies.c.parent_id, some))
                report.rows += sum(job not in going for job in connection.scalars(waited))
                taken.update(connection.scalars(prune.own_inputs(some)))
        tick(start + len(some), len(jobs))
    if groups:
        report.jobs, report.batches = losing, 0
        return report
    report.rows += len(jobs) + len(plan.batches)
    _count_inputs(database, artifacts, plan, taken, report)
    return report


def _count_all(connection: Connection, ids: Sequence[int], report: Report) -> None:
    for table in prune.OF_JOBS:
        which = select(func.count()).where(among(table.c.job_id, ids))
        report.rows += connection.scalar(which) or 0
    files = prune.own_files(ids).subquery()
    number, size = connection.execute(select(func.count(), func.sum(files.c.bytes))).one()
    report.files += number
    report.bytes += int(size or 0)


def _count_files(
    connection: Connection, ids: Sequence[int], groups: Sequence[str], report: Report
) -> int:
    """Count files of some groups; return how many jobs have any."""
    jobs: set[int] = set()
    for group in groups:
        which = prune.own_files(ids).where(prune.in_group(group))
        for row in connection.execute(
            which.with_only_columns(t.artifacts.c.job_id, t.artifacts.c.bytes)
        ):
            jobs.add(row.job_id)
            report.files += 1
            report.rows += 1
            report.bytes += row.bytes
    return len(jobs)


def _count_inputs(
    database: Database,
    artifacts: Callable[[], ArtifactStore],
    plan: Plan,
    taken: Counter[str],
    report: Report,
) -> None:
    """Count the inputs and manifests that nobody takes then."""
    with database.read() as connection:
        b = t.batches.c
        going = select(b.manifest).where(among(b.id, plan.batches), b.manifest.is_not(None))
        alone = set(connection.scalars(going))
        digests = iter(taken)
        while some := list(islice(digests, _DIGESTS_AT_ONCE)):
            i = t.inputs.c
            counted = select(i.sha256, func.count()).where(i.sha256.in_(some)).group_by(i.sha256)
            for digest, number in connection.execute(counted):
                if number <= taken[digest]:
                    alone.add(digest)
    if alone:
        with ThreadPoolExecutor(_THREADS) as threads:
            sizes = list(threads.map(artifacts().size_of_input, alone))
        report.files += sum(size > 0 for size in sizes)
        report.bytes += sum(sizes)
