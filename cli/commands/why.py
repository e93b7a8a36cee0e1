"""`cvq why JOB…`: what is the matter with a job, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from .. import formats, options, resolving
from ..display import display_each
from ..output import paint, say

if TYPE_CHECKING:
    from cvq.explain.explanation import Explanation
    from cvq.parse import Reference
    from cvq.records import Job


@click.command(epilog="\b\nExamples:\n  cvq why @\n  cvq why 3-7\n  cvq why 12 --json")
@options.jobs
@options.as_json
def why(references: Sequence[Reference]) -> None:
    """Explain why a job waits, is slow or failed, and what to do about it.

    JOB is an id, a range 3-7, @ (your last) or @~1 (the one before).
    """
    from dataclasses import asdict

    from cvq.client import Client
    from cvq.views.explanations import explanations_of

    client = Client()
    display_each(
        explanations_of(client.db, client.broker, resolving.resolve(client, references)),
        json=lambda pair: asdict(pair[1]) | {"batch": pair[0].batch},
        text=lambda pair: _show(*pair),
        single=resolving.is_single(references),
    )


def _show(job: Job, explanation: Explanation) -> None:
    state = paint(formats.outcome(job), formats.STATE_STYLES[job.state])
    batch = "" if job.batch is None else f" of batch {job.batch}"
    say(f"job {job.id}{batch}  {formats.clean(job.kind)}  {state}")
    say(formats.clean(explanation.why))
    for line in explanation.advice:
        say(f"→ {formats.clean(line)}")
