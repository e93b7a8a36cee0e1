"""`cvq artifacts JOB`: the files that a job has left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cvq.errors import UsageError

from .. import options, resolving
from ..display import Form, Listing, display_list

if TYPE_CHECKING:
    from cvq.parse import Reference


@click.command(epilog="\b\nExamples:\n  cvq artifacts @\n  cvq artifacts 12 --role result -q")
@options.job
@click.option("--role", metavar="ROLE", help="Only this role: result, preview, model, plot, …")
@options.as_json
@options.as_csv
@options.as_md
@options.form("-q", "--quiet", form=Form.QUIET, help="Print only where the files are.")
def artifacts(reference: Reference, role: str | None) -> None:
    """List the files that a job produced.

    JOB is an id, @ (your last) or @~1 (the one before).
    """
    from cvq.client import Client
    from cvq.views import shapes

    from ..artifact_table import columns
    from ..submitting import place

    client = Client()
    job = client.job(resolving.resolve_one(client, reference))
    files = job.artifacts
    found = [file for file in files if role in (None, file.role)]
    if files and not found:
        roles = ", ".join(dict.fromkeys(file.role for file in files))
        raise UsageError(f"job {job.id} has no file of role '{role}': it has {roles}")
    display_list(
        Listing(
            columns=lambda: columns(lambda file: place(client, file)),
            shape=lambda files: map(shapes.artifact, files),
            quiet=lambda file: place(client, file),
            empty=f"job {job.id} left no files ({job.state})",
        ),
        found,
    )
