"""`cvq rename JOB NAME`: what a job is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cvq.errors import UsageError

from .. import options, resolving
from ..display import Form, display
from ..formats import clean
from ..output import say

if TYPE_CHECKING:
    from cvq.parse import Reference


@click.command(
    epilog="\b\nExamples:\n  cvq rename @ 'poster, second try'\n  cvq rename 12 --remove"
)
@options.job
@click.argument("name", metavar="[NAME]", required=False)
@options.flag("--remove", help="Take the name away.")
@options.as_json
@options.form("-q", "--quiet", form=Form.QUIET, help="Print nothing.")
def rename(reference: Reference, name: str | None, remove: bool) -> None:
    """Give a job another name.

    A job of a batch is called after its item, and stays so. JOB is an id, @ (your last) or @~1
    (the one before).
    """
    from cvq.client import Client

    if (name is None) is not remove:
        raise UsageError("give NAME, or --remove")
    client = Client()
    handle = client.rename(resolving.resolve_one(client, reference), name)
    display(
        handle,
        json=client.to_json,
        quiet=lambda _: None,
        text=lambda job: say(
            f"job {job.id} has no name now"
            if remove
            else f"job {job.id} is called {clean(job.name)}"
        ),
    )
