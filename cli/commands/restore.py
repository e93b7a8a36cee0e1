"""`cvq restore`: jobs taken out of the trash."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from cvq.errors import UsageError
from cvq.text import count

from .. import options
from ..choosing import agreed, chosen
from ..display import Form, form
from ..output import note
from ..stages import in_stages
from .trash import in_trash, jobs_of, say_done, show

if TYPE_CHECKING:
    from cvq.parse import Reference


@click.command(
    epilog="\b\nExamples:\n  cvq restore 12\n  cvq restore --user ada\n  cvq trash --list"
)
@click.argument("references", metavar="[JOB]...", type=options.REFERENCE, nargs=-1)
@options.filters
@options.flag("--all", "everything", help="All that is in the trash.")
@options.flag("--dry-run", help="Only list what would be taken out.")
@options.yes
@options.as_json
@options.quiet
def restore(
    references: Sequence[Reference], everything: bool, dry_run: bool, yes: bool, **filters: Any
) -> int:
    """Take jobs out of the trash.

    JOB and filters choose among those that are there. They are as they were. JOB is an id, a range
    3-7, @ (your last) or @~1 (the one before).
    """
    from cvq.client import Client
    from cvq.pruning import trash

    client = Client()
    wanted = chosen(client, references, filters, trashed=True)
    if (wanted is None) != everything:
        raise UsageError("which jobs? Give JOB, a filter such as --kind, or --all")
    ids = in_trash(client, wanted)
    if dry_run or not ids:
        show(client, jobs_of(client, ids))
        if not ids and form() is Form.TEXT:
            note("none of these is in the trash")
        return 0
    if len(ids) > 1 and not agreed(f"Take {count(len(ids), 'job')} out of the trash?", yes=yes):
        note("nothing was taken out")
        return 0
    with in_stages() as tell:
        done = trash.restore(
            client.db, ids, client.settings.user, partial(tell, "taking out of the trash")
        )
    say_done(client, sorted(done), "out of the trash")
    return 0
