"""A folder as one tar: the same files give the same bytes, and nothing gets out of where it goes.

An archive comes from a store that others can write to. Whatever it says, unpacking it writes
regular files and links below one folder, and no more bytes than the archive has itself.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..errors import InvalidInputError, PermanentError
from ..files import why
from .listing import Member, stays_within

# Of every entry, so that the same files give the same bytes: the first that a zip knows, too.
_TIME = 315532800
_PLAIN, _EXECUTABLE = 0o644, 0o755
# No pipe that has taken a file's place is waited for, and no link followed.
_HOW = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


def pack(
    members: Iterable[Member], target: Path, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Write files and links into a tar.

    Args:
        members: in the order of their names.
        target: the tar.
        progress: told how many are packed, and of how many.

    Raises:
        InvalidInputError: a file cannot be read, or changes meanwhile.
        OSError: the tar cannot be written.
    """
    members = list(members)
    with tarfile.open(
        target, "w", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape"
    ) as archive:
        for number, member in enumerate(members, 1):
            _add(archive, member)
            if progress:
                progress(number, len(members))
    return target


def _add(archive: tarfile.TarFile, member: Member) -> None:
    entry = tarfile.TarInfo(member.name)
    entry.mtime = _TIME
    if member.link is not None:
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, member.link, 0o777
        archive.addfile(entry)
        return
    try:
        descriptor = os.open(member.path, _HOW)
    except OSError as error:
        raise InvalidInputError(f"{member.path} cannot be read: {why(error)}") from None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size != member.bytes:
            raise InvalidInputError(f"{member.path} was changed while it was packed")
        entry.size = member.bytes
        entry.mode = _EXECUTABLE if member.executable else _PLAIN
        archive.addfile(entry, _Whole(file, member))


class _Whole:
    """A file that is to have as many bytes as was said: an archive cannot take fewer."""

    def __init__(self, file: Any, member: Member) -> None:
        self._file, self._member = file, member

    def read(self, count: int = -1, /) -> bytes:
        """So many bytes of it.

        Raises:
            InvalidInputError: they are not there, or cannot be read.
        """
        try:
            content: bytes = self._file.read(count)
        except OSError as error:
            raise InvalidInputError(f"{self._member.path} cannot be read: {why(error)}") from None
        if len(content) < count:
            raise InvalidInputError(f"{self._member.path} was changed while it was packed")
        return content


def unpack(archive: Path, target: Path) -> dict[str, os.stat_result]:
    """Unpack what `pack` has written into a folder, which is made.

    Returns:
        of each file, by its name, how it lies there.

    Raises:
        PermanentError: it is no such archive, or would write elsewhere.
        OSError: the folder cannot be written.
    """
    target.mkdir(parents=True, exist_ok=True)
    written: dict[str, os.stat_result] = {}
    links: list[tarfile.TarInfo] = []
    try:
        with tarfile.open(archive, "r:", encoding="utf-8", errors="surrogateescape") as opened:
            for entry in opened:
                if _check(entry, archive).issym():
                    links.append(entry)
                else:
                    written[entry.name] = _write(opened, entry, target)
    except (tarfile.TarError, EOFError, ValueError, ArithmeticError, RecursionError) as error:
        raise PermanentError(f"{archive.name} is no archive of a folder: {error}") from None
    # Last, so that no file is written through one.
    for entry in links:
        _place(target, entry.name).symlink_to(entry.linkname)
    return written


def _check(entry: tarfile.TarInfo, archive: Path) -> tarfile.TarInfo:
    """Refuse what `pack` has not written."""
    parts = entry.name.split("/")
    is_file = entry.type == tarfile.REGTYPE and entry.sparse is None
    sound = not ({"", ".", ".."} & set(parts)) and "\x00" not in entry.name and entry.size >= 0
    if entry.issym():
        sound = sound and stays_within(entry.name, entry.linkname)
    if not sound or not (is_file or entry.issym()):
        shown = entry.name[:80].encode("utf-8", "replace").decode()
        raise PermanentError(f"{archive.name} is no archive of a folder: it has {shown!r}")
    return entry


def _write(opened: tarfile.TarFile, entry: tarfile.TarInfo, target: Path) -> os.stat_result:
    path = _place(target, entry.name)
    source = opened.extractfile(entry)
    assert source is not None
    with path.open("xb") as file:
        while content := source.read(1 << 20):
            file.write(content)
    path.chmod(_EXECUTABLE if entry.mode & stat.S_IXUSR else _PLAIN)
    return path.stat()


def _place(target: Path, name: str) -> Path:
    """Where an entry goes; the folders above it are made, and are real ones.

    Raises:
        PermanentError: something else lies there.
    """
    path = target / name
    folder = target
    for part in name.split("/")[:-1]:
        folder /= part
        if not folder.is_symlink() and not folder.exists():
            folder.mkdir()
        if folder.is_symlink() or not folder.is_dir():
            raise PermanentError(f"an archive has {name!r} in what is no folder")
    if path.is_symlink() or path.exists():
        raise PermanentError(f"an archive has {name!r} twice")
    return path
