"""`cvq batches`: what was submitted together, as a list."""

from __future__ import annotations

from collections.abc import Sequence

import click

from .. import options, resolving
from ..batch_table import listing
from ..display import display_list
from ..output import hint


@click.command(epilog="\b\nExamples:\n  cvq batches\n  cvq batches --user ada --all --json")
@options.users("batches")
@options.limited()
@options.as_json
@options.as_csv
@options.as_md
@options.quiet
def batches(user: Sequence[list[str]], limit: int, everything: bool) -> None:
    """List batches, the newest first.

    A batch is what `cvq submit` makes of a folder, a list or an archive of pictures: a job for
    each.
    """
    from cvq import queries
    from cvq.client import Client

    client = Client()
    users = resolving.flat(user)
    with client.db.read() as connection:
        found = queries.last_batches(connection, users, None if everything else limit)
    display_list(listing(client), found)
    if found:
        hint(f"`cvq ls --batch {found[0].id}` lists a batch's jobs, `cvq results {found[0].id}` "
             "prints what came out")  # fmt: skip
