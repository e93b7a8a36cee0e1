"""Names of artifacts: which are taken, and how each becomes a file that meets no other.

A job may call its files as it likes. The name stands in the database; the store and the folders
that files are copied into get paths made from it, which every file system takes.
"""

from __future__ import annotations

import hashlib
import threading
import unicodedata
from collections.abc import Callable
from pathlib import PurePosixPath

from .errors import UsageError
from .text import UNPRINTABLE

_LONGEST = 300  # characters of a name, as the database keeps it
_LONGEST_ROLE, _LONGEST_TYPE = 50, 100
# Bytes of one part of a path. File systems take 255; a number and a temporary ending come on top.
_LONGEST_PART = 200


def safe_name(name: str) -> str:
    """The name of an artifact in its one spelling: `./a//b.png` is `a/b.png`.

    Raises:
        UsageError: it is empty, absolute, too long, or climbs.
    """
    plain = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode())
    parts = PurePosixPath(plain).parts
    climbs = ".." in plain.replace("\\", "/").split("/")
    if not parts or climbs or plain.startswith("/") or "\x00" in plain or len(plain) > _LONGEST:
        shown = name if len(name) <= 80 else f"{name[:80]}…"
        raise UsageError(
            f"{shown!r} is not a name for an artifact: give a relative path of at most "
            f"{_LONGEST} characters, without '..'"
        )
    return "/".join(parts)


def check_labels(name: str, role: str, media_type: str | None) -> None:
    """Refuse a role or a media type that the database would cut off.

    Raises:
        UsageError: it is empty, too long, or not printable.
    """
    for what, label, most in (
        ("role", role, _LONGEST_ROLE),
        ("media type", "a/b" if media_type is None else media_type, _LONGEST_TYPE),
    ):
        if not label or len(label) > most or UNPRINTABLE.search(label):
            raise UsageError(
                f"artifact {name}: {label[:80]!r} is not a {what}: give a word of 1 to {most} "
                "characters"
            )


class Names:
    """Gives files paths of which no two meet, on no file system.

    Two meet where they are equal but for upper case or the composition of accents (macOS takes
    both for one), or where one would be the folder of the other. The later gets a number.
    `place` is for any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._last: dict[str, int] = {}

    def place(self, name: str, taken: Callable[[str], bool] = lambda path: False) -> str:
        """The path for an artifact: its own name where that is free.

        Args:
            name: of the artifact.
            taken: whether somebody else's file is there already.
        """
        with self._lock:
            return self._place(name, taken)

    def _place(self, name: str, taken: Callable[[str], bool]) -> str:
        *folders, last = (_part(part) for part in PurePosixPath(safe_name(name)).parts)
        above = ""
        for folder in folders:
            above = self._free(above, folder, lambda key: key in self._files)
            self._folders.add(_key(above))
            above += "/"
        path = self._free(
            above, last, lambda key: key in self._files or key in self._folders, taken, once=True
        )
        self._files.add(_key(path))
        return path

    def _free(
        self,
        above: str,
        part: str,
        meets: Callable[[str], bool],
        taken: Callable[[str], bool] = lambda path: False,
        *,
        once: bool = False,
    ) -> str:
        """The first of `part`, `part-2`, `part-3` … that is free."""
        wanted = _key(above + part)
        number = self._last.get(wanted, 0) + 1 if once else 1
        while meets(_key(path := above + _numbered(part, number))) or taken(path):
            number += 1
        if once:
            self._last[wanted] = number
        return path


def _part(part: str) -> str:
    """A part of a path that every file system takes and every terminal shows."""
    plain = UNPRINTABLE.sub("_", part.replace("\\", "_").replace("\t", "_"))
    if len(plain.encode()) <= _LONGEST_PART:
        return plain
    path = PurePosixPath(plain)
    ending = path.suffix if len(path.suffix.encode()) <= 20 else ""
    mark = f"~{hashlib.sha256(part.encode()).hexdigest()[:8]}{ending}"
    return plain.encode()[: _LONGEST_PART - len(mark.encode())].decode("utf-8", "ignore") + mark


def _numbered(part: str, number: int) -> str:
    path = PurePosixPath(part)
    return part if number == 1 else f"{path.stem}-{number}{path.suffix}"


def _key(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", path).casefold())
