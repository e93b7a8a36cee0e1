"""A job as one line of JSON."""

from __future__ import annotations

from typing import Any

from .. import queries
from ..db import Database
from ..leaves import without_paths
from ..lifecycle.values import storable
from ..views import shapes
from .reading import Exported


def line(database: Database, exported: Exported, *, logs: bool = False) -> dict[str, Any]:
    """A job in the shape of `cvq show --json`, with its attempts, its curves, and its logs.

    A number that was not finite is None. `curves` has `[step, value, time]` of each metric by its
    name: of a job that was resumed, as its last attempts have gone on.

    Args:
        database: of the jobs.
        exported: the job.
        logs: with all lines that it has written.
    """
    job = exported.job
    found: dict[str, Any] = {
        **shapes.job(job, exported.artifacts),
        "spec": without_paths(job.spec),
        "attempts": [shapes.attempt(attempt) for attempt in exported.attempts],
        "curves": {
            name: [[point.step, point.value, shapes.iso(point.time)] for point in points]
            for name, points in exported.curves.items()
        },
    }
    if logs:
        with database.read() as connection:
            lines = queries.logs_of(connection, job.id)
        found["logs"] = [shapes.log_line(each) for each in lines]
    made: dict[str, Any] = storable(found)
    return made
