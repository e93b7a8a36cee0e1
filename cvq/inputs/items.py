"""The items of a batch, as they are given before anything is stored."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InvalidInputError, StoreError
from ..files import PASSING, why
from ..manifests import Entry, Stamp, stamp_of
from .addresses import address_of, shown
from .contents import read_file

_LONGEST = 200  # characters of a name, as the database has room for


class Within(NamedTuple):
    """Where the content of an item is within an archive of this machine.

    Attributes:
        archive: its absolute path.
        stamp: of the archive, before it was read; None where that tells no changes.
        where: what it is called there, and where that is: nothing else in the archive has this.
        read: gives the content; called in a thread, beside others.
    """

    archive: str
    stamp: Stamp | None
    where: str
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a batch: a file by its path or address, a member of an archive, or values.

    Attributes:
        name: what it is called in the results, as `label` makes it.
        value: what its field of the specification takes; of one to be brought, its file's name.
        error: why it cannot be used, known before it is looked at.
        bring: writes it to a path on this machine; called in a thread, beside others.
        path: of a file of this machine, the absolute one.
        within: of a member of an archive of this machine.
    """

    name: str
    value: Any
    error: str | None = None
    bring: Callable[[Path], None] | None = None
    path: str | None = None
    within: Within | None = None

    @classmethod
    def of(cls, given: Any, *, files: bool = True) -> Item:
        """What was given, if it is not an item already: a path, an address, or values.

        Args:
            given: an item, or what its field of the specification takes.
            files: whether text is the path or the address of a file; else it is a value.
        """
        if isinstance(given, Item):
            return given
        if files and isinstance(given, str | os.PathLike):
            path = Path(given)
            if address := address_of(path):
                return cls(label(shown(address)), path)
            called = os.fspath(path)
            return cls(label(called), path, path=absolute(called))
        if isinstance(given, list | tuple):
            return cls(label(" ".join(map(str, given))), list(given))
        return cls(label(str(given)), given)

    @property
    def place(self) -> bytes | None:
        """Where its content is on this machine; None of what is not here, or no file."""
        if self.path is not None:
            return as_bytes(self.path)
        if (within := self.within) is not None:
            return as_bytes(within.archive) + b"\0" + as_bytes(within.where)
        return None

    def entry(self, nth: int) -> Entry:
        """What can be said of it without reading it."""
        if self.path is not None:
            return Entry(nth, self.name, as_bytes(self.path), stamp_of(self.path))
        stamp = None if self.within is None else self.within.stamp
        return Entry(nth, self.name, self.place, stamp)

    def stamp_now(self) -> Stamp | None:
        """The stamp of its file, or of the archive that it is in, as that is by now."""
        where = self.path if self.within is None else self.within.archive
        return None if where is None else stamp_of(where)

    def read(self) -> tuple[bytes, Stamp | None] | None:
        """Its content, and the stamp from before; None of what is not on this machine.

        Raises:
            UnreadableError: it cannot be read.
            InvalidInputError: its archive is damaged.
        """
        if self.within is not None:
            return self.within.read(), self.within.stamp
        return None if self.path is None else read_file(self.path)

    def brought(self, folder: Path) -> Item:
        """The same with its content in a file, which is in this folder where it had to be brought.

        Raises:
            InvalidInputError: it cannot be brought.
            StoreError: the disk here is full, or fails.
        """
        if self.bring is None:
            return self
        folder.mkdir()
        path = folder / str(self.value)
        try:
            self.bring(path)
        except OSError as error:
            if error.errno in PASSING:  # of the disk here, and not of this item
                said = f"{self.name} cannot be written to {folder.parent}: {why(error)}"
                raise StoreError(said) from None
            raise InvalidInputError(f"{self.name} cannot be read: {why(error)}") from None
        return replace(self, value=path)

    def told(self, error: Exception, folder: Path) -> str:
        """What an error says, of the item and not of where it was brought to in a folder."""
        said = str(error)
        if self.bring is not None:
            said = said.replace(str(folder / str(self.value)), self.name)
        return said.replace(f"{folder}{os.sep}", "")


def absolute(path: str) -> str:
    """The absolute path of a file; `~` is the user's home."""
    if path.startswith("~"):
        path = os.path.expanduser(path)  # noqa: PTH111 - a name that nobody has stays as it is
    path = os.path.join(os.getcwd(), path)  # noqa: PTH109, PTH118 - a third of the time
    # Behind a link, `..` is not where it seems to lead.
    return path if ".." in path else os.path.normpath(path)


def as_bytes(name: str) -> bytes:
    """A file's name as the system has it; of text that can be none, what tells it from others."""
    try:
        return os.fsencode(name)
    except UnicodeEncodeError:  # half of a surrogate pair
        return name.encode("utf-8", "surrogatepass")


def label(name: str) -> str:
    """A name as text that can be stored: what is no UTF-8 reads `\\xe9`, the start gives way."""
    if name.isascii() and name.isprintable() and len(name) <= _LONGEST:  # as nearly all are
        return name
    text = as_bytes(name).decode("utf-8", "backslashreplace").replace("\x00", "\\x00")
    return text if len(text) <= _LONGEST else f"…{text[1 - _LONGEST :]}"


def file_name(name: str) -> str:
    """The last part of a name in an archive or bucket, short enough for a file's."""
    return name.rpartition("/")[2].encode()[-200:].decode(errors="ignore")
