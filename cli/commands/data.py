"""`cvq data list|fetch|check`: the data sets that training jobs can be given."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from cvq import datasets
from cvq.errors import InvalidInputError, MissingExtraError, PermanentError

from .. import options
from ..display import Form, display
from ..formats import clean, count
from ..output import Column, note, say, say_each, show_csv, show_md

_NAMED = 20


@click.group(epilog="\b\nExamples:\n  cvq data list\n  cvq data check faces.zip")
def data() -> None:
    """List, fetch and check data sets for training."""


def _home() -> Path:
    from cvq.settings import Settings

    return Settings.load().home


@data.command("list")
@options.as_json
@options.as_csv
@options.as_md
@options.form("-q", "--quiet", form=Form.QUIET, help="Print names only.")
def list_() -> None:
    """List the named data sets and where they are."""
    from cvq.views import shapes

    home = _home()
    rows = [
        (known, datasets.find(known.name, home) if known.files else None)
        for known in datasets.KNOWN.values()
    ]
    display(
        rows,
        json=lambda rows: [shapes.dataset(*row) for row in rows],
        csv=lambda rows: show_csv(_columns(), rows),
        md=lambda rows: show_md(_columns(), rows),
        quiet=lambda rows: say_each(known.name for known, _ in rows),
        text=_list,
    )


def _columns() -> list[Column[tuple[datasets.KnownDataset, Path | None]]]:
    return [
        Column("name", lambda row: row[0].name),
        Column("about", lambda row: row[0].about),
        Column("path", lambda row: str(row[1] or "")),
    ]


def _list(rows: Sequence[tuple[datasets.KnownDataset, Path | None]]) -> None:
    for known, found in rows:
        place = str(found) if found else f"not here: `cvq data fetch {known.name}`"
        say(f"{known.name:<14} {known.about}", hang=15)
        say(f"{'':<14} {place if known.files else 'always there'}", hang=15)


@data.command()
@click.argument("name", metavar="NAME")
def fetch(name: str) -> None:
    """Download a data set into the data folder, unless this machine has it."""
    say(datasets.fetch(name, _home()))


@data.command()
@click.argument("source", metavar="NAME|FOLDER|ZIP", type=options.FilePath())
@click.option(
    "--size",
    type=click.IntRange(1, 4096),
    metavar="N",
    help="Side in pixels that a job would ask for.",
)
@click.option("--grey", is_flag=True, help="Read pictures in grey.")
@options.as_json
def check(source: str, size: int | None, grey: bool) -> None:
    """Read a data set as a job would; report what is in it and what is damaged."""
    path = Path(source).expanduser()
    if not path.exists() and source in datasets.KNOWN:
        if not datasets.KNOWN[source].files:
            say(f"{source} needs no files: it is always there")
            return
        path = datasets.fetch(source, _home())
    from cvq.datasets.survey import survey
    from cvq.settings import Settings

    most = Settings.load().max_pixels
    found = survey(path, max_pixels=most)
    unfit = _unlabelled(path)
    try:
        about = {**_about(path, size, grey, most), "not_for_classifiers": unfit}
    except InvalidInputError:  # which may well come of what there is to note
        _tell(found.notes, unfit)
        raise
    about["left_out"] = list(dict.fromkeys([*found.notes, *about["left_out"]]))
    display(about, json=dict, text=lambda about: _show(source, about, unfit))


def _show(source: str, about: dict[str, Any], unfit: str | None) -> None:
    say(f"{source}: {about['format']}")
    for name, part in about["parts"].items():
        classes = (
            count(part["classes"], "class", "classes") if part["classes"] else "without labels"
        )
        pictures = count(part["pictures"], "picture")
        say(f"  {name:<6} {pictures} of {part['pixels']}, {classes}")
    if named := about["classes"]:
        say(f"  classes {', '.join(map(clean, named[:_NAMED]))}{_more(named)}")
    damaged = [f"damaged: {line}" for line in about["damaged"]]
    _tell([*about["left_out"], *damaged, *about["noted"]], unfit)


def _tell(lines: list[str], unfit: str | None) -> None:
    for line in lines:
        note(line)
    if unfit:
        note(f"not for a classifier: {unfit}")


def _more(names: list[str]) -> str:
    return f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""


def _unlabelled(path: Path) -> str | None:
    """Why no classifier could be trained on it, or None."""
    from cvq.datasets.survey import survey

    try:
        survey(path, labelled=True)
    except InvalidInputError as error:
        return str(error)
    return None


def _about(path: Path, size: int | None, grey: bool, max_pixels: int) -> dict[str, Any]:
    try:
        from cvq.datasets.reading import read
        from cvq.pictures.images import limit_pixels
    except ModuleNotFoundError:
        raise MissingExtraError("worker", "`cvq data check`") from None
    # What reading says in a job's log is told here by the command itself.
    logging.getLogger("cvq.job").addHandler(logging.NullHandler())
    with tempfile.TemporaryDirectory(prefix="cvq-data-") as scratch:
        limit_pixels(max_pixels)
        packed = datasets.pack(path, Path(scratch) / "data.zip") if path.is_dir() else path
        try:
            found = read(packed, channels=1 if grey else 3, size=size, name=path.name)
        except PermanentError as error:
            raise InvalidInputError(str(error)) from None
    return {
        "format": found.format,
        "classes": list(found.classes),
        "damaged": found.corrupt,
        "left_out": found.left_out,
        "noted": found.noted,
        "parts": {
            name: {
                "pictures": len(raw.images),
                "pixels": f"{raw.images.shape[3]} x {raw.images.shape[2]}",
                "classes": 0 if raw.labels is None else len(set(raw.labels.tolist())),
            }
            for name, raw in found.parts.items()
        },
    }
