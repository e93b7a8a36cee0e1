"""The pictures of a folder, as items."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ...datasets.inventory import Inventory, is_picture, of_folder
from ...errors import InvalidInputError
from ...files import why
from ..items import Item

_NO_PICTURE = "no pictures"


def below(folder: Path, note: Callable[[str], None]) -> Iterator[Item]:
    """The pictures below a folder, by name; those of data sets that are no files are left out.

    Raises:
        InvalidInputError: it cannot be read, or has no pictures.
    """
    try:
        found = of_folder(folder, tolerant=True)
    except OSError as error:
        raise InvalidInputError(f"{folder} cannot be read: {why(error)}") from None
    pictures = [member for member in found.members if is_picture(member.name)]
    for member in found.members:
        if not is_picture(member.name):
            found.leave_out(member.name, _NO_PICTURE)
    tell(found, str(folder), len(pictures), note)
    for member in pictures:
        yield Item.of(member.origin)


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
