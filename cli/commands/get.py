"""`cvq get JOB [NAME] -o PATH`: copies of a job's files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cvq import parse
from cvq.errors import UsageError
from cvq.text import join

from .. import completing, options, resolving
from ..display import Form, display
from ..getting import STDOUT, Place, Wanted, chosen, place_of, plan, the_one
from ..output import note, pour, say
from ..saving import is_folder

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.parse import Reference
    from cvq.records import Artifact


@click.command(
    epilog="\b\nExamples:\n  cvq get @ -o painted.png\n  cvq get 12 'loss*.png' -o plots/"
    "\n  cvq get 12 pictures --role all\n  cvq get 3-7 pictures --name '*.png'"
    "\n  cvq get 12 result.json -o - | jq .\n  cvq get --batch 3 pictures"
)
@click.argument(
    "words", metavar="[JOB] [NAME|DIR]", type=options.FilePath(), nargs=-1,
    shell_complete=completing.jobs,
)  # fmt: skip
@click.option(
    "-o", "--output", type=options.FilePath(), metavar="PATH",
    help="Copy the one file to this path, or the files into this folder (NAME/ is created); - is "
    "stdout.",
)  # fmt: skip
@click.option(
    "--batch", type=options.BATCH, metavar="BATCH",
    help="The files of all jobs of a batch, named after its items, as in photos/1-coloured.png; "
    "into DIR, or a folder batch-N.",
)  # fmt: skip
@click.option(
    "--role", metavar="ROLE",
    help="Which files: result, model, plot, preview, another role, or all.  [default: the "
    "results; for a training its model, reports and plots; with a name, any role if no result "
    "matches]",
)  # fmt: skip
@click.option("--name", metavar="GLOB", help="Only files with matching names: '*.png'.")
@click.option(
    "-f", "-y", "--force", is_flag=True, help="Overwrite existing files whose content differs."
)
@options.as_json
@options.form("-q", "--quiet", form=Form.QUIET, help="Print nothing.")
def get(
    words: Sequence[str],
    output: str | None,
    batch: Reference | None,
    role: str | None,
    name: str | None,
    force: bool,
) -> None:
    """Copy the files of a job, or of a batch, here.

    With -o, the word after JOB is the NAME of a file, or a pattern: one result and a FILE give
    that file. Without, it is a NAME where a file of the job is called so, or where it has an
    ending or a *; otherwise it is the folder DIR that they go into, as DIR/ is always. JOB is an
    id, a range 3-7 (each job's files then get a folder of their own), @ (your last) or @~1 (the
    one before).
    """
    from cvq.client import Client

    client = Client()
    wanted = Wanted(role, name or "*", force)
    if batch is not None:
        _get_batch(client, batch, _folder(words, output), wanted)
        return
    references, word = _meant(words)
    ids = resolving.resolve(client, references)
    if word is not None and (output is not None or _is_name(client, ids, word, name)):
        if name is not None:
            raise UsageError(f"'{word}' and --name '{name}': give one of them")
        wanted, word = wanted._replace(name=word), None
        if output is None:
            _check_name(client, ids, wanted)
    if output == STDOUT:
        _pour(client, ids, wanted)
    else:
        place = Place(Path(word)) if word else place_of(output, force=force)
        _copy(client, ids, resolving.is_single(references), place, wanted)


def _meant(words: Sequence[str]) -> tuple[list[Reference], str | None]:
    """The jobs, and the name of a file or a folder, where one is given."""
    if not words:
        raise UsageError("what? Give JOB, or --batch BATCH")
    if len(words) > 2:
        raise UsageError(f"one name or folder is needed, and {join(words[1:])} were given")
    return [parse.reference(words[0])], words[1] if len(words) > 1 else None


def _folder(words: Sequence[str], output: str | None) -> Path | None:
    """Where the files of a batch go, if that is said."""
    folders = [*words, *([output] if output is not None else [])]
    if len(folders) > 1:
        raise UsageError(f"one folder is needed, and {join(folders)} were given")
    if output is not None and (output == "-" or place_of(output, force=True).file is not None):
        raise UsageError(f"-o {output}: the files of a batch go into a folder: -o {output}/")
    return Path(folders[0]) if folders else None


def _is_name(client: Client, ids: Sequence[int], word: str, name: str | None) -> bool:
    """Whether a word names files of a job, and not a folder: it looks like that, or there is one.

    A name that was mistyped is thus no new folder.
    """
    if name is not None or is_folder(word):
        return False
    if any(file.name == word for job_id in ids for file in client.artifacts_of(job_id)):
        return True
    return bool(Path(word).suffix) or any(sign in word for sign in "*?[")


def _check_name(client: Client, ids: Sequence[int], wanted: Wanted) -> None:
    """Make sure that each job has such a file: a folder may have been meant."""
    try:
        for job_id in ids:
            chosen(client.job(job_id), wanted.role, wanted.name)
    except UsageError as error:
        raise UsageError(f"{error} (a folder is written {wanted.name}/)") from None


def _get_batch(client: Client, batch: Reference, folder: Path | None, wanted: Wanted) -> None:
    from .. import batch_files

    batch_files.get(client.batch(resolving.resolve_batch(client, batch)), folder, wanted)


def _pour(client: Client, ids: Sequence[int], wanted: Wanted) -> None:
    """Write the one file to stdout."""
    from tempfile import TemporaryDirectory

    if len(ids) > 1:
        raise UsageError("-o -: give one job, not a range")
    [job_id] = ids
    file = the_one(job_id, chosen(client.job(job_id), wanted.role, wanted.name))
    with TemporaryDirectory(prefix="cvq-") as folder:
        pour(client.readable(job_id, file, Path(folder)))


def _copy(client: Client, ids: Sequence[int], single: bool, place: Place, wanted: Wanted) -> None:
    from cvq.results import missing_copies
    from cvq.views import shapes

    if place.file is not None and not single:
        raise UsageError(f"-o {place.file}: the files of several jobs go into a folder: "
                         f"-o {place.file}/")  # fmt: skip
    plans: dict[int, list[tuple[Artifact, Path]]] = {}
    for job_id in ids:
        into = place if single else place._replace(folder=place.folder / str(job_id))
        plans[job_id] = plan(client.job(job_id), into, wanted)
    todo = {job_id: missing_copies(each, force=wanted.force) for job_id, each in plans.items()}
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


def _tell(targets: Sequence[Path], *, unchanged: int) -> None:
    for target in targets:
        say(target, wrap=False)
    if unchanged:
        were = "was" if unchanged == 1 else "were"
        note(f"{unchanged} of {len(targets)} {were} there already")
