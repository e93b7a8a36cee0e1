"""`cvq samples DIR`: two pictures to try style transfer with."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from .. import options
from ..output import dump, hint, say


@click.command(epilog="\b\nExample:\n  cvq samples pictures")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--size", type=int, default=640, metavar="N", help="Longer side in pixels.  [default: 640]"
)
@options.flag("--force", help="Overwrite pictures that are there.")
@options.as_json
def samples(folder: Path, size: int, force: bool, as_json: bool) -> None:
    """Write two pictures to try style transfer with.

    A photograph, DIR/content.jpg, and a painting, DIR/style.jpg.
    """
    from cvq.samples import write_samples

    paths = write_samples(folder, size=size, overwrite=force)
    if as_json:
        dump({name: str(path) for name, path in paths.items()})
        return
    for path in paths.values():
        say(path)
    pictures = " ".join(shlex.quote(str(path)) for path in paths.values())
    painted = shlex.quote(str(folder / "painted.png"))
    hint(f"now try: cvq run style-transfer {pictures} -o {painted}")
