"""The pictures of a zip or a tar, as items: each is read where it lies, nothing is unpacked."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, ClassVar
from weakref import ReferenceType, ref

from ...datasets.inventory import Inventory, take
from ...endings import is_picture
from ...errors import InvalidInputError
from ...files import why
from ...manifests import Stamp, stamp_of
from .. import shards
from ..contents import MOST_BYTES, too_large
from ..items import Item, Within, absolute, file_name, label
from .folders import TICK_EVERY, tell
from .listing import listed

_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_BLOCK = 1 << 20
_MOST_OPEN = 32  # zips at a time
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError,
)  # fmt: skip


def is_archive(word: str) -> bool:
    """Whether a word names an archive."""
    return word.lower().endswith((".zip", ".tar", *_PACKED)) and "://" not in word


def members(path: Path, note: Callable[[str], None], tick: Callable[[], None]) -> Iterator[Item]:
    """The pictures of an archive: of a zip by name, of a tar as they lie in it.

    Raises:
        InvalidInputError: it cannot be read, or has no pictures.
    """
    if path.name.lower().endswith(".zip"):
        return _of_zip(path, note, tick)
    if path.name.lower().endswith(_PACKED):
        raise InvalidInputError(f"{path} is packed as a whole: unpack it, or pack it as a zip")
    return _of_tar(path, note, tick)


def _of_zip(path: Path, note: Callable[[str], None], tick: Callable[[], None]) -> Iterator[Item]:
    try:
        if not path.exists():
            raise InvalidInputError(f"{path} does not exist")
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {why(error)}") from None
    whole, stamp = absolute(str(path)), stamp_of(path)
    found = listed(lambda: take(path), tick)
    archive = _Archive(path)
    pictures = [member for member in found.members if is_picture(member.name)]
    tell(found, str(path), len(pictures), note)
    for member in pictures:
        assert isinstance(member.origin, zipfile.ZipInfo)
        name = label(f"{path}/{member.name}")
        bring = _Unzip(archive, member.origin, name)
        where = f"{member.origin.header_offset}:{member.name}"
        within = Within(whole, stamp, where, bring.read)
        yield Item(name, file_name(member.name), bring=bring, within=within)


class _Archive:
    """A zip that many items lie in: open as long as few others were opened since.

    It is closed at last with the last item that reads from it.
    """

    _lately: ClassVar[deque[ReferenceType[_Archive]]] = deque()

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: zipfile.ZipFile | None = None

    def open(self, entry: zipfile.ZipInfo) -> IO[bytes]:
        """A member of it; for any thread."""
        if (file := self._file) is None:
            file = self._file = zipfile.ZipFile(self._path)
            self._lately.append(ref(self))
            while len(self._lately) > _MOST_OPEN:
                if (oldest := self._lately.popleft()()) is not None:
                    oldest._file = None  # whoever reads from it has it still
        return file.open(entry)


class _Unzip:
    """Writes a member of a zip to a path."""

    def __init__(self, archive: _Archive, entry: zipfile.ZipInfo, name: str) -> None:
        self._archive, self._entry, self._name = archive, entry, name

    def __call__(self, target: Path) -> None:
        with target.open("wb") as file:
            file.writelines(self._blocks())

    def read(self) -> bytes:
        """The content, of what is not too large for a shard."""
        if self._entry.file_size > MOST_BYTES:
            raise InvalidInputError(f"{self._name} {too_large()}")
        return b"".join(self._blocks())

    def _blocks(self) -> Iterator[bytes]:
        """The content; what is raised is of the archive, and not of where that is written to."""
        try:
            with self._archive.open(self._entry) as source:
                while block := source.read(_BLOCK):
                    yield block
        except _DAMAGE as error:
            raise InvalidInputError(f"{self._name} is damaged: {error}") from None
        except OSError as error:
            raise InvalidInputError(f"{self._name} cannot be read: {why(error)}") from None


def _of_tar(path: Path, note: Callable[[str], None], tick: Callable[[], None]) -> Iterator[Item]:
    found, pictures, cut = Inventory(), 0, None
    try:
        size = path.stat().st_size
        whole, stamp = absolute(str(path)), stamp_of(path)
        for number, member in enumerate(shards.members(path)):
            if number % TICK_EVERY == 0:
                tick()
            if not is_picture(member.name):
                found.leave_out(member.name, "no pictures")
            elif member.name.rpartition("/")[2].startswith("."):
                found.leave_out(member.name, "hidden")
            else:
                pictures += 1
                yield _of_member(path, member, size, whole, stamp)
    except shards.ShardError as error:
        if not pictures:
            raise InvalidInputError(f"{path} {error}") from None
        cut = error
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {why(error)}") from None
    if cut is not None:
        yield Item(label(f"{path}/"), "", error=f"{path} {cut}")
    tell(found, str(path), pictures, note)


def _of_member(
    path: Path, member: shards.Member, size: int, whole: str, stamp: Stamp | None
) -> Item:
    name, problem = label(f"{path}/{member.name}"), member.problem
    if problem is None and member.offset + member.size > size:
        problem = "is cut off: the archive ends before it does"
    if problem is not None:
        return Item(name, "", error=f"{name} {problem}")
    bring = _Untar(member, name)
    within = Within(whole, stamp, f"{member.offset}:{member.name}", bring.read)
    return Item(name, file_name(member.name), bring=bring, within=within)


class _Untar:
    """Writes a member of a tar to a path."""

    def __init__(self, member: shards.Member, name: str) -> None:
        self._member, self._name = member, name

    def __call__(self, target: Path) -> None:
        target.write_bytes(self.read())

    def read(self) -> bytes:
        try:
            content = self._member.read()
        except OSError as error:
            raise InvalidInputError(f"{self._name} cannot be read: {why(error)}") from None
        if len(content) < self._member.size:
            raise InvalidInputError(f"{self._name} was cut off while it was read")
        return content
