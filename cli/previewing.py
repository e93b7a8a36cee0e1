"""What of a job's files is shown in the terminal: pictures drawn, tables and text as lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from cvq.endings import PAGES, TABLES, TEXTS, ending_of, is_picture
from cvq.errors import CvqError
from cvq.results import choose, looked_at

from .getting import chosen

if TYPE_CHECKING:
    from cvq.handle import JobHandle
    from cvq.records import Artifact

T = TypeVar("T")

MOST = 12  # pictures at once
_MOST_BYTES = 1 << 18  # of a text that is looked into


class Seen(NamedTuple):
    """A file of a job, and a path to read it from; of a picture its size, or what is wrong."""

    handle: JobHandle
    artifact: Artifact
    path: Path | None
    size: tuple[int, int] | None = None
    trouble: str = ""


def is_table(artifact: Artifact) -> bool:
    """Whether a file is a table, by its name."""
    return ending_of(artifact.name) in TABLES


def is_text(artifact: Artifact) -> bool:
    """Whether a file is text, by its name."""
    return ending_of(artifact.name) in TEXTS | PAGES


def meant(handle: JobHandle, name: str | None) -> list[Artifact]:
    """The files of a job that are looked at: its results, or what it has drawn on its way so far.

    Raises:
        UsageError: there is none, or none like the name.
    """
    if name is not None:
        return chosen(handle, None, name)
    files = handle.artifacts
    found = choose(files)
    drawn = [file for file in looked_at(files) if file not in found]
    return [*drawn, *found] or chosen(handle, None, "*")


def seen(handle: JobHandle, artifact: Artifact, folder: Path) -> Seen:
    """Find a file, and measure it where it is a picture; what is wrong with it is not raised.

    Args:
        handle: of the job.
        artifact: of it.
        folder: for a copy, where the store is remote.
    """
    from cvq.pictures.images import PictureError, measured

    path = None
    try:
        path = handle.client.readable(handle, artifact, folder / str(handle.id))
        size = measured(path) if is_picture(artifact.name) else None
    except (CvqError, PictureError, OSError) as error:
        return Seen(handle, artifact, path, trouble=str(error))
    return Seen(handle, artifact, path, size)


def first_lines(path: Path, most: int) -> tuple[list[str], bool]:
    """The first lines of a text, and whether there are more."""
    with path.open("rb") as file:
        text = file.read(_MOST_BYTES).decode("utf-8", errors="replace")
    lines = text.splitlines()
    return lines[:most], len(lines) > most or path.stat().st_size > _MOST_BYTES


def first_rows(path: Path, name: str, most: int) -> tuple[list[str], list[list[str]], bool]:
    """The heading of a table, its first rows, and whether there are more.

    Raises:
        MissingExtraError: it is Parquet, and pyarrow is not installed.
        StoreError: it is damaged.
    """
    read = _parquet if ending_of(name) == "parquet" else _csv
    heading, rows = read(path, most + 1)
    return heading, rows[:most], len(rows) > most


def _csv(path: Path, most: int) -> tuple[list[str], list[list[str]]]:
    import csv

    lines, _ = first_lines(path, most + 1)
    between = "\t" if lines and lines[0].count("\t") > lines[0].count(",") else ","
    try:
        heading, *rows = list(csv.reader(lines, delimiter=between)) or [[]]
    except csv.Error:  # a field that is too long, and no table: as text
        heading, *rows = [[line] for line in lines]
    return heading, [_even(row, len(heading)) for row in rows]


def _even(row: Sequence[str], width: int) -> list[str]:
    return [*row[:width], *[""] * (width - len(row))]


def _parquet(path: Path, most: int) -> tuple[list[str], list[list[str]]]:
    from cvq.views.answers import first_of_table

    rows = first_of_table(path, most)
    heading = list(rows[0]) if rows else []
    return heading, [[_word(value) for value in row.values()] for row in rows]


def _word(value: object) -> str:
    from cvq.figures import number

    if value is None:
        return ""
    return number(value) if isinstance(value, float) else str(value)


def spread(pictures: Sequence[T], most: int = MOST) -> list[T]:
    """As many as are looked at, spread evenly over all of them."""
    step = max(1.0, len(pictures) / most)
    return [pictures[int(place * step)] for place in range(min(most, len(pictures)))]
