"""`cvq samples DIR`: pictures and small data sets to try every kind with."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

import click

from .. import options
from ..display import display
from ..output import hint, say
from ..widths import whole


@click.command(epilog="\b\nExamples:\n  cvq samples pictures\n  cvq samples")
@click.argument(
    "folder", metavar="[DIR]", type=options.FilePath(path_type=Path), default="pictures"
)
@click.option(
    "--size", type=int, default=640, metavar="N", help="Longer side in pixels.  [default: 640]"
)
@options.flag("--force", help="Overwrite existing files.")
@options.as_json
def samples(folder: Path, size: int, force: bool) -> None:
    """Write sample pictures and data sets to try every kind with.

    DIR (default: `pictures`) gets a photograph (content.jpg), a greyscale copy (grey.jpg), a
    painting (style.jpg), a drawn shoe (shoe.png), and folders of digits, garments, faces and
    colors to train on.
    """
    from cvq.samples import write_samples

    paths = write_samples(folder, size=size, overwrite=force)
    display(
        paths,
        json=lambda paths: {name: str(path) for name, path in paths.items()},
        text=lambda paths: _tell(folder, paths),
    )


def _tell(folder: Path, paths: Mapping[str, Path]) -> None:
    from cvq.samples import PICTURES

    for name, path in paths.items():
        say(path if name in PICTURES else f"{path}/", wrap=False)
    pictures = " ".join(shlex.quote(str(paths[name])) for name in ("content", "style"))
    painted = shlex.quote(str(folder / "painted.png"))
    hint(f"now try: {whole(f'cvq run style-transfer {pictures} -o {painted}')}")
