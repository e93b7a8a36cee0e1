"""`cvq get JOB [DIR]`: copies of a job's files."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cvq.errors import UsageError

from .. import options
from ..output import dump, note

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.jobs import Artifact
    from cvq.parse import Reference


@click.command(
    epilog="\b\nExamples:\n  cvq get @\n  cvq get 12 pictures --role all"
    "\n  cvq get 3-7 pictures --name '*.png'"
)
@options.job
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default=Path())
@click.option(
    "--role", metavar="ROLE", default="result",
    help="Which files: result, preview, another role, or all.  [default: result]",
)  # fmt: skip
@click.option("--name", metavar="GLOB", default="*", help="Only names like this: '*.png'.")
@click.option(
    "-y", "--force", is_flag=True, help="Overwrite files that are there with other content."
)
@options.as_json
@options.flag("-q", "--quiet", help="Print nothing.")
def get(
    reference: Reference,
    folder: Path,
    role: str,
    name: str,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Copy a job's files here.

    They go into DIR where it is given. JOB is an id, a range 3-7 (each job's files then get a
    folder of their own), @ (your last) or @~1 (the one before).
    """
    from cvq.client import Client

    client = Client()
    ids = options.resolve(client, [reference])
    plan: list[tuple[Artifact, Path]] = []
    for job_id in ids:
        into = folder if options.is_single([reference]) else folder / str(job_id)
        plan += _plan(client, job_id, into, role, name)
    todo = _without_copies(plan, force=force)
    for artifact, target in todo:
        client.artifacts.fetch(artifact, target)
    if as_json:
        dump([{**artifact.to_json(), "path": str(target)} for artifact, target in plan])
    elif not quiet:
        _tell([target for _, target in plan], len(plan) - len(todo))


def _plan(
    client: Client, job_id: int, folder: Path, role: str, name: str
) -> list[tuple[Artifact, Path]]:
    from cvq.artifacts import safe_name

    job = client.job(job_id)
    chosen = [
        artifact
        for artifact in job.artifacts
        if role in ("all", artifact.role) and fnmatch(artifact.name, name)
    ]
    if not chosen:
        like = "" if name == "*" else f" like '{name}'"
        of_role = "" if role == "all" else f" of role '{role}'"
        raise UsageError(
            f"job {job_id} ({job.state}) has no file{like}{of_role}: "
            f"`cvq artifacts {job_id}` lists what it has"
        )
    return [(artifact, folder / safe_name(artifact.name)) for artifact in chosen]


def _without_copies(
    plan: Sequence[tuple[Artifact, Path]], *, force: bool
) -> list[tuple[Artifact, Path]]:
    """What is still to be copied; refuses, before any is, to overwrite what differs."""
    from cvq.files import sha256_of

    todo = []
    for artifact, target in plan:
        if target.is_dir():
            raise UsageError(f"{target} is a folder")
        if target.exists() and sha256_of(target) == artifact.sha256:
            continue
        if target.exists() and not force:
            raise UsageError(f"{target} exists with other content: --force overwrites it")
        todo.append((artifact, target))
    return todo


def _tell(targets: Sequence[Path], unchanged: int) -> None:
    for target in targets:
        click.echo(target)
    if unchanged:
        note(f"{unchanged} of {len(targets)} were there already")
