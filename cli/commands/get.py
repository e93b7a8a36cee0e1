"""`cvq get JOB [DIR]`: copies of a job's files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cvq import parse
from cvq.errors import UsageError
from cvq.text import join

from .. import batch_files, options
from ..display import Form, display
from ..output import note, say

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.parse import Reference
    from cvq.records import Artifact


@click.command(
    epilog="\b\nExamples:\n  cvq get @\n  cvq get 12 pictures --role all"
    "\n  cvq get 3-7 pictures --name '*.png'\n  cvq get --batch 3 pictures"
)
@click.argument("words", metavar="[JOB] [DIR]", type=options.FilePath(), nargs=-1)
@click.option(
    "--batch", type=options.BATCH, metavar="BATCH",
    help="The files of all jobs of a batch, named after its items, as in photos/1-coloured.png; "
    "into DIR, or a folder batch-N.",
)  # fmt: skip
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
    words: Sequence[str],
    batch: Reference | None,
    role: str | None,
    name: str,
    force: bool,
) -> None:
    """Copy the files of a job, or of a batch, here.

    They go into DIR if given. JOB is an id, a range 3-7 (each job's files then get a folder of
    their own), @ (your last) or @~1 (the one before).
    """
    from cvq.client import Client

    reference, folder = _meant(words, batch)
    client = Client()
    if batch is not None:
        handle = client.batch(options.resolve_batch(client, batch))
        batch_files.get(handle, folder, batch_files.Wanted(role, name, force))
    elif reference is not None:
        _get_jobs(client, reference, folder or Path(), batch_files.Wanted(role, name, force))


def _meant(words: Sequence[str], batch: Reference | None) -> tuple[Reference | None, Path | None]:
    """The job, unless a batch is meant, and the folder, where one is given."""
    references, folders = (words[:1], words[1:]) if batch is None else ((), words)
    if batch is None and not references:
        raise UsageError("what? Give JOB, or --batch BATCH")
    if len(folders) > 1:
        raise UsageError(f"one folder is needed, and {join(folders)} were given")
    reference = parse.reference(references[0]) if references else None
    return reference, Path(folders[0]) if folders else None


def _get_jobs(
    client: Client, reference: Reference, folder: Path, wanted: batch_files.Wanted
) -> None:
    from cvq.results import missing_copies
    from cvq.views import shapes

    ids = options.resolve(client, [reference])
    plans: dict[int, list[tuple[Artifact, Path]]] = {}
    for job_id in ids:
        into = folder if options.is_single([reference]) else folder / str(job_id)
        plans[job_id] = _plan(client, job_id, into, wanted.role, wanted.name)
    todo = {job_id: missing_copies(plan, force=wanted.force) for job_id, plan in plans.items()}
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
