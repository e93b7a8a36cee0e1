"""`cvq logs JOB`: what a job has written, so far or as it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from .. import options, resolving
from ..colours import styled
from ..display import Form, form
from ..formats import clean
from ..interrupts import Interrupts
from ..output import dump_line, note, say

if TYPE_CHECKING:
    from cvq.parse import Reference
    from cvq.records import StoredLine


@click.command(
    epilog="\b\nExamples:\n  cvq logs @ -f\n  cvq logs 12 --tail 50 --stream stderr"
    "\n  cvq logs 12 --follow --since 5m --json"
)
@options.job
@click.option("-f", "--follow", is_flag=True, help="Keep printing until the job ends.")
@click.option("--tail", type=options.count(), metavar="N", help="Start with the last N lines.")
@click.option(
    "--since",
    type=options.AGO,
    metavar="TIME",
    help="Only lines written since then: 5m, 2026-11-01T12:00.",
)
@click.option("--attempt", type=options.count(), metavar="N", help="Only this attempt's lines.")
@click.option(
    "--stream", type=click.Choice(["stdout", "stderr"]), help="Only this stream's lines."
)
@options.form("--json", form=Form.JSON, help="Print a JSON object for each line.")
def logs(
    reference: Reference,
    follow: bool,
    tail: int | None,
    since: datetime | None,
    attempt: int | None,
    stream: str | None,
) -> None:
    """Show a job's output.

    JOB is an id, @ (your last) or @~1 (the one before).
    """
    from cvq.client import Client
    from cvq.looks import POLL_S
    from cvq.views.logs import LogReader

    client = Client()
    job_id = resolving.resolve_one(client, reference)
    resolving.check_attempt(client, [job_id], attempt)
    reader = LogReader(client.db, job_id, tail=tail, since=since, attempt=attempt, stream=stream)
    lines = reader.read()
    finished = reader.finished
    _print(lines)
    with Interrupts() as interrupts:
        while follow and not finished:
            interrupts.sleep(POLL_S)
            lines = reader.read()
            finished = reader.finished
            _print(lines)
    if not reader.after and form() is Form.TEXT:
        if finished and (origin := client.job(job_id).twin_of) is not None:
            note(f"job {job_id} has the result of job {origin}: `cvq logs {origin}` shows what "
                 "that one wrote")  # fmt: skip
            return
        note(f"job {job_id} has written nothing{'' if finished else ' yet'} ({reader.state})")


def _print(rows: Sequence[StoredLine]) -> None:
    from cvq.views import shapes

    for row in rows:
        if form() is Form.JSON:
            dump_line(shapes.log_line(row))
        else:
            say(styled(clean(row.text), "dim" if row.stream == "stderr" else ""))
