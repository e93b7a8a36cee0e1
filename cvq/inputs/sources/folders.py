"""The pictures of a folder, as items."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ...datasets.inventory import Inventory, files_below
from ...errors import InvalidInputError
from ...files import why
from ..items import Item, absolute, label

TICK_EVERY = 100  # items


def below(folder: Path, note: Callable[[str], None], tick: Callable[[], None]) -> Iterator[Item]:
    """The pictures below a folder, by name; files of data sets are left out.

    Raises:
        InvalidInputError: it cannot be read, or has no pictures.
    """
    found, pictures = Inventory(tolerant=True, only_pictures=True), 0
    called = "" if folder == Path() else str(folder / "_")[:-1]
    above = absolute(f"{folder}/_")[:-1]
    try:
        for _, way in files_below(folder, found):
            if pictures % TICK_EVERY == 0:
                tick()
            pictures += 1
            path = called + way
            yield Item(label(path), path, path=above + way)
    except OSError as error:
        raise InvalidInputError(f"{folder} cannot be read: {why(error)}") from None
    tell(found, str(folder), pictures, note)


def tell(found: Inventory, source: str, pictures: int, note: Callable[[str], None]) -> None:
    """Say what is left out; refuse a source without a picture.

    Raises:
        InvalidInputError: there is none.
    """
    lines = found.lines()
    if not pictures:
        said = "; ".join(lines) or "it is empty"
        raise InvalidInputError(f"{source} has no pictures: {said}")
    for line in lines:
        note(f"{source}: {line}")
