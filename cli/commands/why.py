"""`cvq why JOB…`: what is the matter with a job, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from cvq.errors import CvqError

from .. import formats, options
from ..output import dump, paint, say

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.explain.diagnosis import Explanation
    from cvq.parse import Reference
    from cvq.records import Job


@click.command(epilog="\b\nExamples:\n  cvq why @\n  cvq why 3-7\n  cvq why 12 --json")
@options.jobs
@options.as_json
def why(references: Sequence[Reference], as_json: bool) -> None:
    """Explain why a job waits, runs long or failed, and what to do.

    JOB is an id, a range 3-7, @ (your last) or @~1 (the one before).
    """
    from dataclasses import asdict

    from cvq import queries
    from cvq.client import Client
    from cvq.explain.diagnosis import explain

    client = Client()
    jobs = [client.job(job_id).job for job_id in options.resolve(client, references)]
    redis = _redis_problem(client) if any(job.state == "queued" for job in jobs) else None
    with client.db.read() as connection:
        jobs = [queries.get_job(connection, job.id) for job in jobs]
        found = [explain(connection, job, redis=redis) for job in jobs]
    if as_json:
        shown = [asdict(explanation) for explanation in found]
        dump(shown[0] if options.is_single(references) else shown)
        return
    for number, (job, explanation) in enumerate(zip(jobs, found, strict=True)):
        if number:
            say()
        _show(job, explanation)


def _redis_problem(client: Client) -> str | None:
    """What is wrong with Redis; the embedded one is not started by asking."""
    from cvq.broker.embedded import redis_answers

    try:
        if client.broker.embedded:
            up = redis_answers(client.settings.home)
            return None if up else "the embedded Redis is stopped"
        client.broker.connect()
    except CvqError as error:
        return str(error)
    return None


def _show(job: Job, explanation: Explanation) -> None:
    state = paint(formats.outcome(job), formats.STATE_STYLES[job.state])
    say(f"job {job.id}  {formats.clean(job.kind)}  {state}")
    say(formats.clean(explanation.why))
    for line in explanation.advice:
        say(f"→ {formats.clean(line)}")
