"""`cvq open JOB [NAME]`: a job's file in the system's viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .. import options, resolving
from ..display import Form, display
from ..formats import clean
from ..output import note, say_each

if TYPE_CHECKING:
    from pathlib import Path

    from cvq.handle import JobHandle
    from cvq.parse import Reference
    from cvq.records import Artifact

_MOST = 10  # windows at once


@click.command("open", epilog="\b\nExamples:\n  cvq open @\n  cvq open 3 'loss*.png'")
@options.job
@click.argument("name", metavar="[NAME]", required=False)
@options.as_json
@options.form("-q", "--quiet", form=Form.QUIET, help="Print nothing.")
def open(reference: Reference, name: str | None) -> None:
    """Open a job's file with the system's viewer.

    It is the first picture of its results, or their first file; NAME is another, or a pattern.
    Where there is no viewer or no display, its path is printed; it is printed in any case. JOB is
    an id, @ (your last) or @~1 (the one before).
    """
    from cvq.client import Client
    from cvq.views import shapes

    from ..viewers import opened

    client = Client()
    handle = client.job(resolving.resolve_one(client, reference))
    files = _meant(handle, name)
    paths = [_path(handle, file) for file in files]
    troubles = [opened(path) for path in paths]
    display(
        list(zip(files, paths, troubles, strict=True)),
        json=lambda all: [
            {**shapes.artifact(file), "path": str(path), "opened": trouble is None}
            for file, path, trouble in all
        ],
        text=lambda all: say_each((path for _, path, _ in all), wrap=False),
        quiet=lambda _: None,
    )
    for trouble in dict.fromkeys(filter(None, troubles)):
        note(f"not opened: {trouble}")


def _meant(handle: JobHandle, name: str | None) -> list[Artifact]:
    """The files to open: one, unless a pattern asks for several.

    Raises:
        UsageError: there is none, or too many.
    """
    from cvq.endings import is_picture
    from cvq.errors import UsageError

    from ..previewing import meant

    found = meant(handle, name)
    if name is None:
        first = next((file for file in found if is_picture(file.name)), found[0])
        if others := [clean(file.name) for file in found if file is not first]:
            note(f"{clean(first.name)} of {len(found)} files: `cvq open {handle.id} NAME` opens "
                 f"another ({', '.join(others[:_MOST])})")  # fmt: skip
        return [first]
    if len(found) > _MOST:
        raise UsageError(f"{len(found)} files of job {handle.id} are like '{name}': "
                         f"{_MOST} are opened at most")  # fmt: skip
    return found


def _path(handle: JobHandle, artifact: Artifact) -> Path:
    """Where the file is; a copy of its own, which stays, where the store is remote."""
    from pathlib import Path
    from tempfile import mkdtemp

    if handle.client.artifacts.is_local:
        return handle.client.readable(handle, artifact, Path())
    target = Path(mkdtemp(prefix="cvq-open-")) / Path(artifact.name).name
    return handle.client.fetch(handle, artifact, target)
