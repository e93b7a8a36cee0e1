"""`cvq retry BATCH`: what has failed of a batch, or was cancelled, is queued again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cvq.errors import UsageError
from cvq.states import State

from .. import options
from ..batch_table import shape
from ..display import display
from ..formats import count
from ..output import note, say

if TYPE_CHECKING:
    from cvq.batch import Batch
    from cvq.parse import Reference


@click.command(epilog="\b\nExamples:\n  cvq retry 3 --failed\n  cvq retry @ --failed --cancelled")
@options.batch
@options.flag("--failed", help="What has failed.")
@options.flag("--cancelled", help="What was cancelled.")
@options.as_json
@options.quiet
def retry(reference: Reference, failed: bool, cancelled: bool) -> None:
    """Queue again what has failed of a batch.

    BATCH is an id, or @ for your last. The jobs stay those that they are, and their attempts count
    on. What was refused when it was submitted has no input to be tried again: submit it anew.
    """
    from cvq.client import Client

    if not (failed or cancelled):
        raise UsageError("which jobs? Give --failed, --cancelled or both")
    client = Client()
    handle = client.batch(options.resolve_batch(client, reference))
    number = handle.retry(failed=failed, cancelled=cancelled)
    display(
        handle.batch,
        json=shape,
        quiet=lambda batch: say(batch.id),
        text=lambda batch: _tell(batch, number, failed=failed),
    )


def _tell(batch: Batch, number: int, *, failed: bool) -> None:
    say(f"batch {batch.id}: {count(number, 'job')} to be tried again")
    left = batch.states.get(State.FAILED, 0)
    if failed and left:
        note(f"{count(left, 'job')} cannot be tried again: `cvq ls --batch {batch.id} --status "
             "failed` lists them")  # fmt: skip
