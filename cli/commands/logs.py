"""`cvq logs JOB`: what a job has written, so far or as it goes on."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from .. import options
from ..formats import clean
from ..output import dump_line, note, on_terminal, say

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.parse import Reference


@click.command(
    epilog="\b\nExamples:\n  cvq logs @ -f\n  cvq logs 12 --tail 50 --stream stderr"
    "\n  cvq logs 12 --follow --since 5m --json"
)
@options.job
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended.")
@click.option("--tail", type=options.count(), metavar="N", help="Begin with the last N lines.")
@click.option(
    "--since", type=options.AGO, metavar="TIME", help="Lines since: 5m, 2026-11-01T12:00."
)
@click.option("--attempt", type=options.count(), metavar="N", help="Only this attempt's lines.")
@click.option(
    "--stream", type=click.Choice(["stdout", "stderr"]), help="Only this stream's lines."
)
@options.flag("--json", "as_json", help="Print a JSON object for each line.")
def logs(
    reference: Reference,
    follow: bool,
    tail: int | None,
    since: datetime | None,
    attempt: int | None,
    stream: str | None,
    as_json: bool,
) -> None:
    """Show what a job has written.

    JOB is an id, @ (your last) or @~1 (the one before).
    """
    from cvq.client import Client

    client = Client()
    job_id = options.resolve_one(client, reference)
    options.check_attempt(client, [job_id], attempt)
    reader = LogReader(client, job_id, tail=tail, since=since, attempt=attempt, stream=stream)
    lines = reader.read()
    finished = reader.finished
    _print(lines, as_json=as_json)
    while follow and not finished:
        time.sleep(POLL_S)
        lines = reader.read()
        finished = reader.finished
        _print(lines, as_json=as_json)
    if not reader.after and not as_json:
        note(f"job {job_id} has written nothing{'' if finished else ' yet'} ({reader.state})")


POLL_S = 0.15


class LogReader:
    """Reads a job's lines from where it stopped last time.

    Attributes:
        after: the id of the last line read; 0 before the first.
        state: the job's state as of the last look.
        finished: whether the job had ended *before* the last look, so that nothing can follow.
    """

    def __init__(self, client: Client, job_id: int, *, tail: int | None, **chosen: Any) -> None:
        self.client = client
        self.job_id = job_id
        self.tail = tail
        self.chosen = chosen
        self.after = 0
        self.state = ""
        self.finished = False

    def read(self) -> list[Any]:
        """The lines that are new."""
        from cvq import queries

        with self.client.db.read() as connection:
            # The state first: a line written between the two looks is then never missed.
            job = queries.get_job(connection, self.job_id)
            rows = queries.logs_of(
                connection, self.job_id, after=self.after, tail=self.tail, **self.chosen
            )
        self.state, self.finished, self.tail = job.state, job.finished, None
        if rows:
            self.after = rows[-1].id
        return list(rows)


def _print(rows: list[Any], *, as_json: bool) -> None:
    from cvq.records import iso

    for row in rows:
        if as_json:
            dump_line(
                {
                    "attempt": row.attempt,
                    "seq": row.seq,
                    "time": iso(row.time),
                    "stream": row.stream,
                    "text": row.text,
                }
            )
        elif row.stream == "stderr" and on_terminal():
            say(click.style(clean(row.text), dim=True))
        else:
            say(clean(row.text))
