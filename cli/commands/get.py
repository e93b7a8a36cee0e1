"""`cvq get JOB [DIR]`: copies of a job's files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cvq.errors import UsageError
from cvq.text import join

from .. import options
from ..display import Form, display
from ..output import note, say

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.parse import Reference
    from cvq.records import Artifact


@click.command(
    epilog="\b\nExamples:\n  cvq get @\n  cvq get 12 pictures --role all"
    "\n  cvq get 3-7 pictures --name '*.png'"
)
@options.job
@click.argument("folder", metavar="[DIR]", type=options.FilePath(path_type=Path), default=Path())
@click.option(
    "--role", metavar="ROLE",
    help="Which files: result, model, plot, preview, another role, or all.  [default: the "
    "results; for a training its model, reports and plots; with --name, any role if no result "
    "matches]",
)  # fmt: skip
@click.option(
    "--name", metavar="GLOB", default="*", help="Only files with matching names: '*.png'."
)
@click.option(
    "-f", "-y", "--force", is_flag=True, help="Overwrite existing files whose content differs."
)
@options.as_json
@options.form("-q", "--quiet", form=Form.QUIET, help="Print nothing.")
def get(
    reference: Reference,
    folder: Path,
    role: str | None,
    name: str,
    force: bool,
) -> None:
    """Copy a job's files here.

    They go into DIR if given. JOB is an id, a range 3-7 (each job's files then get a folder of
    their own), @ (your last) or @~1 (the one before).
    """
    from cvq.client import Client
    from cvq.results import missing_copies
    from cvq.views import shapes

    client = Client()
    ids = options.resolve(client, [reference])
    plans: dict[int, list[tuple[Artifact, Path]]] = {}
    for job_id in ids:
        into = folder if options.is_single([reference]) else folder / str(job_id)
        plans[job_id] = _plan(client, job_id, into, role, name)
    todo = {job_id: missing_copies(plan, force=force) for job_id, plan in plans.items()}
    for job_id, copies in todo.items():
        for artifact, target in copies:
            client.fetch(job_id, artifact, target)
    copied = sum(map(len, todo.values()))
    display(
        [pair for pairs in plans.values() for pair in pairs],
        json=lambda plan: [{**shapes.artifact(file), "path": str(to)} for file, to in plan],
        text=lambda plan: _tell([to for _, to in plan], unchanged=len(plan) - copied),
        quiet=lambda _: None,
    )


def _plan(
    client: Client, job_id: int, folder: Path, role: str | None, name: str
) -> list[tuple[Artifact, Path]]:
    from cvq.results import choose, targets

    job = client.job(job_id)
    files = job.artifacts
    chosen = choose(files, role, name)
    if not chosen:
        raise UsageError(f"job {job_id} ({job.state}) {_lack(job_id, files, role, name)}")
    return targets(chosen, folder)


def _lack(job_id: int, files: Sequence[Artifact], role: str | None, name: str) -> str:
    """What is not there, and what is."""
    if not files:
        return "left no files"
    like = "" if name == "*" else f" like '{name}'"
    what = "no result" if role is None and name == "*" else "no file"
    of = "" if role in (None, "all") else f" of role '{role}'"
    others = Counter(file.role for file in files if like and fnmatch(file.name, name))
    if others:
        said = join([f"{number} of role {other}" for other, number in others.items()])
        verb = "is" if sum(others.values()) == 1 else "are"
        return f"has {what}{of}{like}; {said} {verb}: --role {next(iter(others))}"
    roles = ", ".join(dict.fromkeys(file.role for file in files))
    return f"has {what}{of}{like}: `cvq artifacts {job_id}` lists what it has ({roles})"


def _tell(targets: Sequence[Path], *, unchanged: int) -> None:
    for target in targets:
        say(target, wrap=False)
    if unchanged:
        note(f"{unchanged} of {len(targets)} were there already")
