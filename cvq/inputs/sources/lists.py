"""The lines of a list, as items."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from queue import Empty, Queue
from typing import BinaryIO

from ...errors import InvalidInputError
from ...files import why
from ..addresses import address_of
from ..items import Item, label

_BOM = b"\xef\xbb\xbf"
_LONGEST = 1 << 16  # bytes of a line
_AHEAD = 10_000  # lines of stdin
_LOOK_S = 0.1


def of_file(path: Path, files: bool) -> Iterator[Item]:
    """The items of a list; its files are looked for beside it.

    Raises:
        InvalidInputError: it cannot be read.
    """
    if path.exists() and not path.is_file():
        raise InvalidInputError(f"{path} is not a list: give a file with a name a line")
    try:
        with path.open("rb") as lines:
            yield from items_of(lines, path.parent, files, str(path))
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {why(error)}") from None


def of_stream(stream: BinaryIO, files: bool, tick: Callable[[], None]) -> Iterator[Item]:
    """The items of a stream that may never end; `tick` is called while it says nothing."""
    lines: Queue[bytes | Exception | None] = Queue(_AHEAD)

    def read() -> None:
        try:
            while line := stream.readline(_LONGEST):
                lines.put(line)
            lines.put(None)
        except Exception as error:
            lines.put(error)

    # A read cannot be interrupted: it is left behind.
    threading.Thread(target=read, name="cvq-stdin", daemon=True).start()

    def said() -> Iterator[bytes]:
        while True:
            try:
                line = lines.get(timeout=_LOOK_S)
            except Empty:
                tick()
                continue
            if isinstance(line, Exception):
                raise InvalidInputError(f"stdin cannot be read: {line}") from None
            if line is None:
                return
            yield line

    yield from items_of(said(), Path(), files, "stdin")


def items_of(lines: Iterable[bytes], folder: Path, files: bool, source: str) -> Iterator[Item]:
    """An item for each line that is not blank.

    Args:
        lines: as they stand in the list, with their ends.
        folder: where files are looked for.
        files: whether a line is a file; else it has values.
        source: what the list is called.
    """
    for number, line in enumerate(lines, 1):
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
