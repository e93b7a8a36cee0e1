"""`cvq preview JOB [NAME]`: a job's pictures in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cvq.endings import is_picture
from cvq.errors import UsageError
from cvq.installing import install_hint
from cvq.text import join

from .. import options, resolving
from ..display import Form, display
from ..formats import clean
from ..output import Column, console, hint, note, on_terminal, say, say_each, show_table
from ..widths import ending, terminal_height, terminal_width

if TYPE_CHECKING:
    from PIL import Image

    from cvq.parse import Reference

    from ..drawing.terminals import How
    from ..previewing import Seen

_AS = ("kitty", "sixel", "iterm2", "blocks", "ascii")
_BESIDE = 3  # lines of the terminal for titles and the next prompt
_CELL = (16, 32)  # pixels of a cell at most, for those that draw in pixels


@click.command(
    epilog="\b\nExamples:\n  cvq preview @\n  cvq preview 3 'sample*'\n  cvq preview 3-7"
    "\n  cvq preview 3 --as ascii"
)
@options.job
@click.argument("name", metavar="[NAME]", required=False)
@click.option(
    "--as", "how", type=click.Choice(_AS), metavar="|".join(_AS),
    help="How to draw.  [default: the best that the terminal can]",
)  # fmt: skip
@click.option(
    "--width", type=options.count(4, 1000), metavar="COLUMNS",
    help="Draw in so many columns of the terminal.",
)  # fmt: skip
@options.as_json
@options.form("-q", "--quiet", form=Form.QUIET, help="Print the paths only.")
def preview(reference: Reference, name: str | None, how: str | None, width: int | None) -> None:
    """Show a job's pictures in the terminal.

    Tables and text are shown as text. NAME is a file of the job, or a pattern; a job that runs
    shows what it has drawn last. In a pipe each picture is a line: name, size, path. JOB is an id,
    a range 3-7, @ (your last) or @~1 (the one before).
    """
    from tempfile import TemporaryDirectory

    from cvq.client import Client

    from .. import previewing

    client = Client()
    handles = [client.job(job_id) for job_id in resolving.resolve(client, [reference])]
    files = [(handle, file) for handle in handles for file in previewing.meant(handle, name)]
    pictures = [pair for pair in files if is_picture(pair[1].name)]
    others = [pair for pair in files if not is_picture(pair[1].name)]
    some = previewing.spread(pictures)
    with TemporaryDirectory(prefix="cvq-") as folder:
        found = [previewing.seen(*pair, Path(folder)) for pair in [*some, *others]]
        display(
            found,
            json=lambda found: [_shape(one) for one in found],
            quiet=lambda found: say_each(map(_path, found), wrap=False),
            text=lambda found: _tell(found, how, width, named=name is not None),
        )
    if len(some) < len(pictures):
        note(f"{len(some)} of {len(pictures)} pictures: give a NAME to see others")


def _shape(one: Seen) -> dict[str, Any]:
    from cvq.views import shapes

    width, height = one.size or (None, None)
    return {
        "job": one.handle.id,
        **shapes.artifact(one.artifact),
        "width": width,
        "height": height,
        "path": _path(one),
        "trouble": one.trouble or None,
    }


def _path(one: Seen) -> str:
    from ..submitting import place

    return place(one.handle.client, one.artifact)


def _tell(found: Sequence[Seen], how: str | None, width: int | None, *, named: bool) -> None:
    if not on_terminal() and how is None:
        _list(found)
        return
    pictures = [one for one in found if one.size is not None]
    if pictures:
        _draw(pictures, how, width)
    others = [one for one in found if one.size is None and not one.trouble]
    if named or not pictures:
        for one in others:
            _tell_text(one)
    elif others:
        hint(f"other files: {join([clean(one.artifact.name) for one in others])}")
    for one in found:
        if one.trouble:
            note(f"cvq: warning: {clean(one.artifact.name)}: {clean(one.trouble)}")


def _list(found: Sequence[Seen]) -> None:
    """A line for each file, for programs."""
    from cvq.text import size

    columns: list[Column[Seen]] = [
        Column("job", lambda one: str(one.handle.id)),
        Column("name", lambda one: one.artifact.name),
        Column("pixels", lambda one: "x".join(map(str, one.size or ())) or "-"),
        Column("size", lambda one: size(one.artifact.bytes)),
        Column("path", _path),
    ]
    show_table(columns, found)
    for one in found:
        if one.trouble:
            note(f"cvq: warning: {clean(one.artifact.name)}: {clean(one.trouble)}")


def _draw(pictures: Sequence[Seen], how: str | None, width: int | None) -> None:
    from ..drawing import grid, terminals

    chosen = terminals.How(how) if how else terminals.best()
    columns, rows = width or terminal_width(), max(4, terminal_height() - _BESIDE)
    if chosen in (terminals.How.KITTY, terminals.How.SIXEL, terminals.How.ITERM):
        _draw_pixels(pictures, chosen, columns, rows)
        return
    if not on_terminal() and chosen is terminals.How.BLOCKS:
        raise UsageError("--as blocks needs a terminal: --as ascii draws in a pipe, too")
    depth = terminals.depth() if chosen is terminals.How.BLOCKS else terminals.Depth.SIGNS
    _, across, down = grid.room(len(pictures), columns, rows)
    tiles = [
        grid.Titled(_title(one), image)
        for one in pictures
        if (image := _image(one, across, 2 * down)) is not None
    ]
    for line in grid.lines(tiles, columns, rows, depth):
        say(line, wrap=False)
    if terminals.is_extra_missing() and how is None:
        hint(f"this terminal can show pixels: {install_hint(terminals.EXTRA)}")


def _draw_pixels(pictures: Sequence[Seen], how: How, columns: int, rows: int) -> None:
    from ..drawing.blocks import fitted
    from ..drawing.terminals import pixels

    if not on_terminal():
        raise UsageError(f"--as {how} needs a terminal: --as ascii draws in a pipe, too")
    show = pixels(how)
    down = rows if len(pictures) == 1 else max(6, rows // 2)
    for one in pictures:
        image = _image(one, columns * _CELL[0], down * _CELL[1])
        if image is not None and one.size is not None:
            console().print(show(image, width=fitted(one.size, columns, down)[0]))
            say(_title(one))


def _image(one: Seen, width: int, height: int) -> Image.Image | None:
    from cvq.pictures.images import PictureError
    from cvq.pictures.shown import shown

    assert one.path is not None  # it was measured
    try:
        most = one.handle.client.settings.max_pixels
        return shown(one.path, (width, height), max_pixels=most)
    except (PictureError, OSError, MemoryError) as error:
        note(f"cvq: warning: {clean(one.artifact.name)} {error}")
        return None


def _title(one: Seen) -> str:
    width, height = one.size or (0, 0)
    return clean(f"{one.handle.id} {one.artifact.name} {width}x{height}")


def _tell_text(one: Seen) -> None:
    """The beginning of a table or a text; of anything else a line."""
    from cvq.text import size

    from .. import previewing

    assert one.path is not None
    most = max(4, terminal_height() - _BESIDE) if on_terminal() else 20
    file = one.artifact
    if previewing.is_table(file):
        heading, rows, more = previewing.first_rows(one.path, file.name, most)
        show_table([_column(name, place) for place, name in enumerate(heading)], rows)
    elif previewing.is_text(file):
        lines, more = previewing.first_lines(one.path, most)
        for line in lines:
            say(ending(line, terminal_width()) if on_terminal() else line, wrap=False)
    else:
        say(f"{clean(file.name)}: {file.role}, {size(file.bytes)}, no picture and no text")
        return
    if more:
        note(f"there is more: `cvq get {one.handle.id} {clean(file.name)}` copies it here")


def _column(name: str, place: int) -> Column[Sequence[str]]:
    return Column(name, lambda row: row[place], rank=place, least=4)
