"""Shards: a `.tar` of about a thousand files, which is read from its beginning to its end.

Nothing is unpacked: a file is read where it lies in the tar, under the name that it has there.
What is no file that could be read is an item like the others, with what is wrong with it, so that
whoever reads the answers finds each file of the shard among them.

A shard that is written here has its files sorted by name, without times or owners: the same files
make the same bytes.
"""

from __future__ import annotations

import os
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ..errors import PermanentError
from ..files import atomic
from ..text import one_line
from .contents import MOST_BYTES, UnreadableError, read_file, too_large

ENDING = ".tar"
# In pax headers: why a file could not be packed; its name, where a tar should not have such; and
# what all names begin with.
_PROBLEM, _NAME, _ROOT = "CVQ.problem", "CVQ.name", "CVQ.root"
_BLOCK = 512
_OUTSIDE = "has a path that leads out of the shard"
_OCTAL = re.compile(rb"[0-7]+[ \0]")
_LONGEST = 100  # bytes of a name in a plain header
_MOST_IN_PLAIN = 8 << 30  # bytes of a file, as 11 octal digits have room for
# The header of an empty file of nobody, of 1970: what of it is the same for all plain files.
_EMPTY = tarfile.TarInfo("_").tobuf(tarfile.USTAR_FORMAT)
_NO_PREFIX = bytes(167)  # the rest of a long name, and what is left of the block
_OWNER, _TIME, _REST = _EMPTY[100:124], _EMPTY[136:148], _EMPTY[156:]
_SUM = sum(_OWNER) + sum(_TIME) + sum(_REST) + 8 * ord(" ")


class ShardError(ValueError):
    """What is wrong with a shard; it reads on behind the shard's name."""


class Problem(NamedTuple):
    """Why there is nothing to pack under a name; it reads on behind the name."""

    text: str


@dataclass(frozen=True)
class Member:
    """A file in a shard.

    Attributes:
        name: as the tar has it; bytes that are not UTF-8 as `\\xe9`.
        shard: the tar.
        offset: where its content begins there, in bytes.
        size: of its content, in bytes.
        problem: why it cannot be read, where that is known.
    """

    name: str
    shard: Path
    offset: int
    size: int
    problem: str | None = None

    def read(self) -> bytes:
        """Its content.

        Raises:
            PermanentError: it cannot be read.
            OSError: the shard cannot be read.
        """
        if self.problem:
            raise PermanentError(f"{self.name} {self.problem}")
        descriptor = os.open(self.shard, os.O_RDONLY)  # half the time of a file object
        try:
            return os.pread(descriptor, self.size, self.offset)
        finally:
            os.close(descriptor)


def members(path: Path) -> Iterator[Member]:
    """The files of a shard, in its order. Folders are none.

    Raises:
        ShardError: it is no tar, damaged or truncated.
        OSError: it cannot be read.
    """
    found = 0
    try:
        with _opened(path) as tar:
            while (member := _next_plain(path, tar) or _next(path, tar)) is not None:
                found += 1
                yield member
            end = tar.offset
    except (tarfile.TarError, ValueError, RecursionError) as error:
        if found:
            raise ShardError(f"is truncated or damaged after {found} files: {error}") from None
        raise ShardError(f"is not a .tar that can be read: {one_line(str(error))}") from None
    with path.open("rb") as file:
        file.seek(end)
        last = file.read(_BLOCK)
    if last != bytes(_BLOCK):
        what = "damaged" if len(last) == _BLOCK else "truncated"
        raise ShardError(f"is {what} after {found} files: there is no end mark")


def _opened(path: Path) -> tarfile.TarFile:
    return tarfile.open(path, "r:", encoding="utf-8", errors="surrogateescape")


def _next(path: Path, tar: tarfile.TarFile) -> Member | None:
    """The next file; None at the end."""
    while (info := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]  # it would keep all
        if not info.isdir():
            return _member(path, info)
    return None


def _next_plain(path: Path, tar: tarfile.TarFile) -> Member | None:
    """The next file, in a tenth of the time; None where it is more than a plain one."""
    everywhere = tar.pax_headers
    if tar.firstmember is not None or not everywhere.keys() <= {_ROOT}:  # type: ignore[attr-defined]
        return None
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    header = tar.fileobj.read(_BLOCK)
    name, size = header[:_LONGEST].rstrip(b"\0"), header[124:136]
    plain = (
        header[156:157] in (b"0", b"\0")
        and header[257:263] in (b"ustar\0", b"ustar ")
        and header[345:] == _NO_PREFIX
        and name.isascii()
        and b"\0" not in name
        and not name.endswith(b"/")
        and _OCTAL.fullmatch(size)
        and _OCTAL.fullmatch(header[148:155])
        and int(header[148:154], 8) == _sum(header[:148]) + 8 * ord(" ") + _sum(header[156:345])
    )
    if not plain or (length := int(size[:11], 8)) > MOST_BYTES:
        return None
    content = tar.offset + _BLOCK
    tar.offset = content + -(-length // _BLOCK) * _BLOCK
    called = name.decode()
    outside = called.startswith("/") or ".." in called.split("/")
    whole = _readable(everywhere.get(_ROOT, "") + called)
    return Member(whole, path, content, length, _OUTSIDE if outside else None)


def _sum(part: bytes) -> int:
    """The sum of bytes, of 256 at most, in a tenth of the time of `sum`."""
    return (zlib.adler32(part) & 0xFFFF) - 1


def count(path: Path) -> int:
    """How many files a shard holds.

    Raises:
        ShardError: it is no tar, damaged or truncated.
        OSError: it cannot be read.
    """
    return sum(1 for _ in members(path))


def write(
    target: Path,
    files: Iterable[tuple[str, Path | bytes | Problem]],
    *,
    in_order: bool = False,
    root: str = "",
) -> list[str]:
    """Write a shard; a file whose content cannot be read is in it as such.

    Returns what is wrong with these.

    Args:
        target: the `.tar`.
        files: names below some folder, with `/`, and what they hold or where that lies. Surrogate
            escapes in a name stand for bytes that are not UTF-8, as the system gives them.
        in_order: as they come, one by one, and not sorted.
        root: what all names begin with, such as `/data/photos/`.

    Raises:
        StoreError: it cannot be written.
    """
    if not in_order:
        files = sorted(files, key=lambda each: each[0].encode("utf-8", "surrogateescape"))
    wrong = []
    with (
        atomic(target) as partial,
        tarfile.open(
            partial, "w", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape",
            pax_headers={_ROOT: root} if root else {},
        ) as tar,
    ):  # fmt: skip
        for name, source in files:
            content, problem = _content(source)
            _add(tar, name.removeprefix(root), content, problem)
            if problem:
                wrong.append(f"{name} {problem}")
    return wrong


def _add(tar: tarfile.TarFile, name: str, content: bytes, problem: str | None) -> None:
    """Write a file behind those before it."""
    inside = _inside(name)
    if inside == name and problem is None and (header := _plain_header(name, len(content))):
        written = b"".join((header, content, bytes(-len(content) % _BLOCK)))
        assert tar.fileobj is not None
        tar.fileobj.write(written)
        tar.offset += len(written)
        return
    info = tarfile.TarInfo(inside)  # of nobody, and of 1970
    info.size = len(content)
    told = {_PROBLEM: problem, _NAME: name if inside != name else None}
    info.pax_headers = {key: value for key, value in told.items() if value}
    tar.addfile(info, BytesIO(content))
    tar.members.clear()  # type: ignore[attr-defined]


def _plain_header(name: str, size: int) -> bytes | None:
    """What tarfile writes for a plain file, in a tenth of the time; None where that is more."""
    if not name.isascii() or len(name) > _LONGEST or size >= _MOST_IN_PLAIN:
        return None
    if "\0" in name or name.endswith("/"):
        return None
    called, bytes_ = name.encode().ljust(_LONGEST, b"\0"), b"%011o\0" % size
    total = _SUM + _sum(called) + _sum(bytes_)
    return b"".join((called, _OWNER, bytes_, _TIME, b"%06o\0 " % total, _REST))


def _inside(name: str) -> str:
    """A name that leads nowhere out of a folder in which somebody unpacks the shard."""
    if not name.startswith("/") and ".." not in name:
        return name
    way = PurePosixPath(name)
    if not (way.is_absolute() or ".." in way.parts):
        return name
    return "/".join(part for part in way.parts if part not in ("/", "//", "..")) or "_"


def _content(source: Path | bytes | Problem) -> tuple[bytes, str | None]:
    """What a file holds, and why that could not be read."""
    if isinstance(source, Problem):
        return b"", source.text
    if isinstance(source, bytes):
        return source, None
    try:
        return read_file(source)[0], None
    except UnreadableError as error:
        return b"", str(error)


def _member(path: Path, info: tarfile.TarInfo) -> Member:
    name = info.pax_headers.get(_ROOT, "") + info.pax_headers.get(_NAME, info.name)
    return Member(_readable(name), path, info.offset_data, info.size, _problem(info))


def _readable(name: str) -> str:
    if name.isascii():
        return name
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _problem(info: tarfile.TarInfo) -> str | None:
    if told := info.pax_headers.get(_PROBLEM):
        return one_line(told.encode("utf-8", "replace").decode())
    if info.issym() or info.islnk():
        return "is a link: a shard holds files"
    if not info.isreg() or info.sparse is not None:
        return "is not a regular file"
    if info.name.startswith("/") or ".." in info.name.split("/"):
        return _OUTSIDE
    return too_large() if info.size > MOST_BYTES else None
