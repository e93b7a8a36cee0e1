"""`cvq show JOB`: everything that is known of a job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from .. import options, resolving
from ..display import display_each

if TYPE_CHECKING:
    from cvq.parse import Reference
    from cvq.views.details import JobDetails

    from ..archive import Archive


@click.command(epilog="\b\nExamples:\n  cvq show @\n  cvq show 3-7 --json")
@options.jobs
@options.as_json
@options.flag(
    "--traceback",
    help="Show the whole traceback, not only its end, and every failed attempt's last lines.",
)
def show(references: Sequence[Reference], traceback: bool) -> None:
    """Show everything known about a job.

    Its specification, attempts and what each left, a timeline, metrics as small curves, files,
    the environment that it ran in, and the commands that do it again. --json has every point of
    the curves. JOB is an id, a range 3-7, @ (your last) or @~1 (the one before).
    """
    from ..archive import Archive

    archive = Archive()
    display_each(
        resolving.resolve(archive, references),
        json=lambda job_id: _as_json(archive, job_id),
        text=lambda job_id: _show(archive, _seen(archive, job_id), every=traceback),
        single=resolving.is_single(references),
    )


def _seen(archive: Archive, job_id: int) -> JobDetails:
    from cvq.views.details import details_of

    with archive.db.read() as connection:
        return details_of(connection, archive.settings, job_id)


def _as_json(archive: Archive, job_id: int) -> dict[str, Any]:
    from cvq.views import shapes
    from cvq.views.curves import curves_of

    from .. import again, estimates

    seen = _seen(archive, job_id)
    with archive.db.read() as connection:
        curves = curves_of(connection, job_id)
    estimate = estimates.job_estimate(archive, seen.job)
    return shapes.job(seen.job, seen.artifacts) | {
        "note": seen.job.note,
        "origin": seen.job.origin,
        "links": seen.links.to_json(),
        "attempts": [shapes.attempt(each) | {"versions": each.versions} for each in seen.attempts],
        "timeline": [moment.to_json() for moment in seen.timeline],
        "events": [
            {"time": shapes.iso(event.time), "what": event.what, "by": event.by}
            for event in seen.events
        ],
        "curves": {curve.name: shapes.curve(curve) for curve in curves},
        "estimate": None if estimate is None else estimate.to_json(),
        "again": again.commands(archive.settings, seen.job),
    }


def _show(archive: Archive, seen: JobDetails, *, every: bool) -> None:
    from .. import estimates
    from .. import job_sections as sections

    job = seen.job
    sections.show_job(seen, estimates.estimate_of(archive, job))
    sections.show_spec(archive, job)
    sections.show_attempts(job, seen.attempts, seen.now)
    sections.show_metrics(seen.curves)
    sections.show_artifacts(archive, seen.artifacts)
    sections.show_timeline(seen.timeline)
    sections.show_environment(job, seen.attempts)
    sections.show_again(archive, job)
    sections.show_error(job)
    sections.show_last_lines(job, seen.attempts, every=every)
    sections.show_traceback(seen.attempts, every=every)
