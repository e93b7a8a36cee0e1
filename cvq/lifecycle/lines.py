"""Log lines of many running attempts at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, func, insert, select

from .. import tables as t
from ..given import among
from ..ids import AttemptId
from ..records import LogLine
from .leases import lock
from .values import fit


def add_lines(connection: Connection, lines: Mapping[AttemptId, Sequence[LogLine]]) -> None:
    """Write lines of running attempts; those of any other are left out.

    A line is known by its number: one that was written before, as the answer to that was lost
    after the commit, is not written again.
    """
    rows = lock(connection, lines, t.jobs.c.id, t.jobs.c.attempt)
    held = [AttemptId(row.id, row.attempt) for row in rows]
    if not held:
        return
    logs = t.logs.c
    last = select(logs.job_id, logs.attempt, func.max(logs.seq))
    known = connection.execute(
        last.where(among(logs.job_id, (each.job_id for each in held))).group_by(
            logs.job_id, logs.attempt
        )
    )
    written = {AttemptId(job, attempt): seq for job, attempt, seq in known}
    new = [
        {"job_id": each.job_id, "attempt": each.attempt, **fit(t.logs, **line._asdict())}
        for each in held
        for line in lines[each]
        if line.seq > written.get(each, 0)
    ]
    if new:
        connection.execute(insert(t.logs), new)
