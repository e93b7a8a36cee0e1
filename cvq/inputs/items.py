"""The items of a batch, as they are given before anything is stored."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .addresses import address_of, shown

_LONGEST = 200  # characters of a name, as the database has room for


@dataclass(frozen=True)
class Item:
    """One item of a batch: a file by its path or address, a member of an archive, or values.

    Attributes:
        name: what it is called in the results.
        value: what its field of the specification takes; of one to be brought, its file's name.
        error: why it cannot be used, known before it is looked at.
        bring: writes it to a path on this machine; called in a thread, beside others.
    """

    name: str
    value: Any
    error: str | None = None
    bring: Callable[[Path], None] | None = None

    @classmethod
    def of(cls, given: Any) -> Item:
        """What was given, if it is not an item already: a path, an address, or values."""
        if isinstance(given, Item):
            return given
        if isinstance(given, str | os.PathLike):
            path = Path(given)
            address = address_of(path)
            return cls(label(shown(address) if address else os.fspath(path)), path)
        if isinstance(given, list | tuple):
            return cls(label(" ".join(map(str, given))), list(given))
        return cls(label(str(given)), given)


def label(name: str) -> str:
    """A name as text that can be stored: what is no UTF-8 reads `\\xe9`, the start gives way."""
    if name.isascii() and name.isprintable() and len(name) <= _LONGEST:  # as nearly all are
        return name
    text = os.fsencode(name).decode("utf-8", "backslashreplace").replace("\x00", "\\x00")
    return text if len(text) <= _LONGEST else f"…{text[1 - _LONGEST :]}"
