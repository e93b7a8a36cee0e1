"""The lines of a list, as items."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from ...errors import InvalidInputError
from ...files import why
from ..addresses import address_of
from ..items import Item, label

_BOM = b"\xef\xbb\xbf"
_LONGEST = 1 << 20  # bytes of a line
_BLOCK = 1 << 16
_LOOK_S = 0.1


def of_file(path: Path, files: bool, tick: Callable[[], None]) -> Iterator[Item]:
    """The items of a list; its files are looked for beside it.

    A pipe, as a shell makes of `<(find photos)`, is read as stdin is: `tick` is called meanwhile.

    Raises:
        InvalidInputError: it cannot be read.
    """
    try:
        if path.is_fifo():
            # Opened at once, so that one that nobody writes to yet is waited for by looks, too.
            with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as pipe:
                yield from items_of(_lines(pipe, tick, str(path)), Path(), files, str(path))
            return
        if path.exists() and not path.is_file():
            raise InvalidInputError(f"{path} is not a list: give a file with a name a line")
        with path.open("rb") as file:
            lines = iter(lambda: file.readline(_LONGEST), b"")
            yield from items_of(lines, path.parent, files, str(path))
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {why(error)}") from None


def of_stream(stream: BinaryIO, files: bool, tick: Callable[[], None]) -> Iterator[Item]:
    """The items of a stream that may never end; `tick` is called while it says nothing."""
    yield from items_of(_lines(stream, tick, "stdin"), Path(), files, "stdin")


def _lines(stream: BinaryIO, tick: Callable[[], None], source: str) -> Iterator[bytes]:
    try:
        descriptor = stream.fileno()
    except OSError:  # it is in memory
        yield from stream
        return
    rest = b""
    while True:
        # A read would wait for ever, and so would a thread that is left behind in it.
        if not select.select([descriptor], [], [], _LOOK_S)[0]:
            tick()
            continue
        try:
            said = os.read(descriptor, _BLOCK)
        except OSError as error:
            raise InvalidInputError(f"{source} cannot be read: {why(error)}") from None
        *lines, rest = (rest + said).split(b"\n")
        yield from lines
        if len(rest) > _LONGEST:
            raise InvalidInputError(
                f"{source} has a line that is too long to be a name: is it a list?"
            )
        if not said:
            yield rest
            return


def items_of(lines: Iterable[bytes], folder: Path, files: bool, source: str) -> Iterator[Item]:
    """An item for each line that is not blank.

    Args:
        lines: as they stand in the list, with their ends.
        folder: where files are looked for.
        files: whether a line is a file; else it has values.
        source: what the list is called.

    Raises:
        InvalidInputError: a line is no name, by its length.
    """
    for number, line in enumerate(lines, 1):
        if len(line) >= _LONGEST:
            raise InvalidInputError(
                f"{source} has a line that is too long for a name: is it a list?"
            )
        text = line.removeprefix(_BOM if number == 1 else b"").rstrip(b"\r\n")
        if text.strip():
            yield item_of(os.fsdecode(text), folder, files, f"{source}, line {number}")


def item_of(text: str, folder: Path, files: bool, place: str) -> Item:
    """The item of one line or cell: a file, an address, or values."""
    if "\x00" in text:
        return Item(label(text), "", error=f"{place}: a name has no NUL: is this a list?")
    if not files:
        return Item.of(text.replace(",", " ").split())
    if address_of(text):
        return Item.of(text)
    return replace(Item.of(folder / text), name=label(text))
