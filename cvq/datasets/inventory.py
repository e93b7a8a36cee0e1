"""What is in a folder or a zip: the files that a job would read, and what is left out and why.

A zip of a folder gives what the folder gives. Nothing is unpacked, and nothing is decoded: this
runs where a job is submitted, before anything is queued, and again in the job.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from PIL import Image

from ..endings import is_picture
from ..errors import InvalidInputError
from ..pictures.images import FORMATS
from ..text import count, join

MOST_FILES = 2_000_000
MOST_BYTES = 1 << 40  # of all files of a zip, unpacked
# What unpacks to so many times its size, and to so many bytes at least, is a bomb.
_MOST_RATIO, _HARMLESS = 100, 256 << 20
_NAMED = 5
# In a zip that cvq has packed: what its folder had besides.
_MARK = b"cvq-left-out "
_MOST_COMMENT = 65_535  # bytes that the format has for it

_HIDDEN = "hidden or of the system's own"
_NO_PICTURE = "no pictures"
_OTHER = "neither pictures, IDX files nor CIFAR batches"
_EFFECTIVE = os.access in os.supports_effective_ids
_PLAIN = (None,)  # in the place of entries, of a file that is no more than its name
_JUNK = ("thumbs.db", "desktop.ini", "ehthumbs.db")
_PACKED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}


@dataclass(frozen=True)
class Member:
    """A file that a job would read.

    Attributes:
        name: below the top, with `/` between folders.
        bytes: how many it has, unpacked.
        origin: where it is.
    """

    name: str
    bytes: int
    origin: Path | zipfile.ZipInfo

    @property
    def folder(self) -> str:
        """The folder it lies in, "" at the top."""
        return self.name.rpartition("/")[0]


@dataclass
class Inventory:
    """The files of a folder or zip, by name, and those that are left out, by the reason.

    Attributes:
        only_pictures: files of data sets that are no pictures are left out, too.
        tolerant: a folder in it that may not be read or vanishes meanwhile is left out; otherwise
            it is an error.
    """

    members: list[Member] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    seen: int = 0
    tolerant: bool = False
    only_pictures: bool = False

    def leave_out(self, name: str, reason: str) -> None:
        """Take down that a file is not read."""
        self.left_out.setdefault(reason, []).append(name)

    def lines(self) -> list[str]:
        """What is left out, a line for each reason; nothing where all is read."""
        return self.told + [
            f"left out: {count(len(names), 'file')} ({reason}): {join(sorted(names), _NAMED)}"
            for reason, names in sorted(self.left_out.items())
        ]


def is_idx(name: str) -> bool:
    """Whether a file of this name is taken for IDX, packed by gzip or not."""
    return name.lower().removesuffix(".gz").endswith("-ubyte")


def is_batch(name: str) -> bool:
    """Whether a file of this name is taken for a binary batch of CIFAR."""
    return name.lower().endswith(".bin") and "_batch" in name.lower().rpartition("/")[2]


def take(path: Path) -> Inventory:
    """The inventory of a folder or zip.

    Raises:
        InvalidInputError: it cannot be read, is neither, or is a zip that would not do.
    """
    try:
        if path.is_dir():
            return of_folder(path)
        if not (path.is_file() and zipfile.is_zipfile(path)):
            raise InvalidInputError(_no_zip(path))
        with zipfile.ZipFile(path) as archive:
            return of_zip(archive, str(path))
    except PermissionError as error:
        what = error.filename or path
        raise InvalidInputError(f"{what} cannot be read: permission denied") from None
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError) as error:
        raise InvalidInputError(f"{path} cannot be read: {error}") from None


def _no_zip(path: Path) -> str:
    if path.is_file():
        with path.open("rb") as file:
            if file.read(4) == b"PK\3\4":  # a zip's table of files is at its end
                return f"{path} is a zip that is cut off: its end is missing"
    return f"{path} is neither a folder nor a zip"


# --- Folders ------------------------------------------------------------------------------------


def of_folder(folder: Path) -> Inventory:
    """The files below a folder; links to folders are followed, but in no circle.

    Raises:
        InvalidInputError: a folder or file may not be read.
        OSError: the disk fails.
    """
    found = Inventory()
    for name, way in files_below(folder, found):
        path = folder / way
        if not os.access(path, os.R_OK, effective_ids=_EFFECTIVE):
            raise InvalidInputError(f"{path} cannot be read: permission denied")
        found.members.append(Member(name, path.stat().st_size, path))
    found.members.sort(key=lambda member: member.name)  # two folders may have one name
    return found


def files_below(folder: Path, found: Inventory) -> Iterator[tuple[str, str]]:
    """The files below a folder, by name: each with the way to it, as the system has it.

    Of a folder, no more than the names are in memory. What is left out is taken down in `found`.

    Raises:
        InvalidInputError: there are too many.
        OSError: a folder may not be read, or the disk fails.
    """
    yield from _walk(folder, "", "", (folder.resolve(),), found)


def _walk(
    folder: Path, prefix: str, way: str, above: tuple[Path, ...], found: Inventory
) -> Iterator[tuple[str, str]]:
    """The files of a folder, as `files_below` gives them.

    Args:
        folder: it.
        prefix: what names in it begin with.
        way: from the top, with `/` at its end.
        above: the folders that it lies in.
        found: where is taken down what is left out.
    """
    try:
        names, others = _listed(folder)
    except (PermissionError, FileNotFoundError) as error:
        if not (found.tolerant and prefix):
            raise
        found.leave_out(prefix, f"a folder that cannot be read: {error.strerror}")
        return
    found.seen += len(names)
    if found.seen > MOST_FILES:
        raise InvalidInputError(f"{folder}: more than {MOST_FILES} files; do links go in circles?")
    if not names and prefix:
        found.leave_out(prefix, "an empty folder")
    last = None
    for key in names:
        for entry in others.pop(key, _PLAIN):
            if entry is not None and key.endswith("/"):
                yield from _walk_below(entry, prefix + key, way, above, found)
            elif reason := _unfit(key, entry, found):
                found.leave_out(prefix + key, reason)
            elif key == last:
                found.leave_out(prefix + key, "a name that is another's when composed")
            else:
                last = key
                yield prefix + key, way + (key if entry is None else entry.name)


def _walk_below(
    entry: os.DirEntry[str], prefix: str, way: str, above: tuple[Path, ...], found: Inventory
) -> Iterator[tuple[str, str]]:
    """The files of a folder within another, whose name is the end of `prefix`."""
    path = Path(entry.path)
    real = path.resolve()
    if _is_junk(prefix.rstrip("/")):
        found.leave_out(prefix.rstrip("/"), _HIDDEN)
    elif real in above:
        found.leave_out(prefix.rstrip("/"), "a link to a folder that it lies in")
    else:
        yield from _walk(path, prefix, f"{way}{entry.name}/", (*above, real), found)


def _listed(folder: Path) -> tuple[list[str], dict[str, list[os.DirEntry[str]]]]:
    """What is in a folder: readable names in order, those of folders with `/` at the end.

    Also the entries of those that are no plain files, or of which the system's name is another:
    a million entries would take more memory than their names.
    """
    names: list[str] = []
    others: dict[str, list[os.DirEntry[str]]] = {}
    with os.scandir(folder) as listed:
        for entry in listed:
            if entry.name.isascii() and entry.is_file(follow_symlinks=False):
                names.append(entry.name)
                continue
            is_folder = not _leads_in_circles(entry) and entry.is_dir()
            key = readable(entry.name) + ("/" if is_folder else "")
            if key not in others:
                names.append(key)
            others.setdefault(key, []).append(entry)
    for entries in others.values():
        entries.sort(key=lambda entry: entry.name)
    names.sort()
    return names, others


def _leads_in_circles(entry: os.DirEntry[str]) -> bool:
    """Whether a link leads to itself, at once or by way of others."""
    if not entry.is_symlink():
        return False
    try:
        entry.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _unfit(name: str, entry: os.DirEntry[str] | None, found: Inventory) -> str | None:
    """Why a file of a folder is not read, or None; a plain one needs no entry."""
    if _is_junk(name):
        return _HIDDEN
    if entry is not None and _leads_in_circles(entry):
        return "a link to itself"
    if not is_picture(name):
        if not (is_idx(name) or is_batch(name)):
            return _OTHER
        if found.only_pictures:
            return _NO_PICTURE
    if entry is None:
        return None
    if not entry.is_file():
        return "a link to nothing" if entry.is_symlink() else "no regular file"
    # A link could give any file the name of a picture, and it would go into the store.
    if entry.is_symlink() and not _is_data(Path(entry.path).resolve()):
        return "a link to what is no picture"
    return None


def _is_data(path: Path) -> bool:
    if is_picture(path.name) or is_idx(path.name) or is_batch(path.name):
        return True
    try:  # stores keep pictures under numbers
        with Image.open(path, formats=FORMATS):
            return True
    except Exception:
        return False


def readable(name: str) -> str:
    """A file's name as text that can be stored: composed; what is no UTF-8 reads `\\xe9`."""
    return unicodedata.normalize("NFC", os.fsencode(name).decode("utf-8", "backslashreplace"))


# --- Zips ---------------------------------------------------------------------------------------


def of_zip(archive: zipfile.ZipFile, called: str) -> Inventory:
    """The files of a zip; `called` names it in errors.

    Raises:
        InvalidInputError: it is encrypted, packed in a way that Python does not know, or a bomb.
    """
    found = Inventory(told=_told(archive))
    by_name: dict[str, zipfile.ZipInfo] = {}
    names: list[str] = []
    folders: list[str] = []
    for entry in archive.infolist():
        name = _name_of(entry, ours=archive.comment.startswith(_MARK))
        names.append(name)
        if name.endswith("/"):
            folders.append(name)
            continue
        if reason := _unfit_entry(name, entry):
            found.leave_out(name, reason)
            continue
        if name in by_name:  # as with whoever unpacks it, the last one stays
            found.leave_out(name, "another file of the same name follows")
        by_name[name] = entry
    for folder in _empty(folders, names):
        found.leave_out(folder, "an empty folder")
    _check_entries(list(by_name.values()), Path(archive.filename or called), called)
    found.members = [
        Member(name, entry.file_size, entry) for name, entry in sorted(by_name.items())
    ]
    return found


def _empty(folders: list[str], names: list[str]) -> list[str]:
    filled = {name.rstrip("/").rpartition("/")[0] + "/" for name in names}
    return [folder for folder in folders if folder not in filled and not _is_hidden(folder)]


def _name_of(entry: zipfile.ZipInfo, *, ours: bool) -> str:
    """A name as whoever unpacks it would see it."""
    name = entry.filename
    if not entry.flag_bits & 0x800:  # not said to be UTF-8, which many tools write all the same
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            name = entry.filename
    if not ours:
        name = name.replace("\\", "/")  # by tools of Windows
    return unicodedata.normalize("NFC", name)


def _unfit_entry(name: str, entry: zipfile.ZipInfo) -> str | None:
    """Why a file of a zip is not read, or None."""
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or (parts and parts[0].endswith(":")):
        return "a name that leads out of the zip"
    if _is_hidden(name):
        return _HIDDEN
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "a link, which a zip cannot bring along"
    if not (is_picture(name) or is_idx(name) or is_batch(name)):
        return _OTHER
    return None


def _check_entries(entries: list[zipfile.ZipInfo], path: Path, called: str) -> None:
    """Refuse what could not be read, and bombs, by what the zip says of itself."""
    if locked := [entry.filename for entry in entries if entry.flag_bits & 1]:
        raise InvalidInputError(
            f"{called} is encrypted ({join(locked, 2)}): pack it without a password"
        )
    if odd := [entry for entry in entries if entry.compress_type not in _PACKED]:
        raise InvalidInputError(
            f"{called} is packed by method {odd[0].compress_type} ({odd[0].filename}), which "
            "Python does not know: pack it with deflate"
        )
    total = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    bomb = total > _HARMLESS and total > _MOST_RATIO * max(1, packed)
    if len(entries) > MOST_FILES or total > MOST_BYTES or bomb or packed > path.stat().st_size:
        raise InvalidInputError(
            f"{called} is a bomb: {count(len(entries), 'file')} that would unpack from "
            f"{packed / 2**20:.3g} to {total / 2**20:.0f} MiB"
        )


def _is_hidden(name: str) -> bool:
    return any(_is_junk(part) for part in PurePosixPath(name).parts)


def _is_junk(name: str) -> bool:
    last = name.rpartition("/")[2]
    return last.startswith(".") or last == "__MACOSX" or last.lower() in _JUNK


# --- A zip that cvq packs remembers what its folder had besides ----------------------------------


def mark(lines: list[str]) -> bytes:
    """The comment of a zip that cvq packs; what it has no room for is counted."""
    kept = list(lines)
    while True:
        more = len(lines) - len(kept)
        told = [*kept, f"and {count(more, 'more note')} of what is left out"] if more else kept
        comment = _MARK + json.dumps(told).encode()
        if len(comment) <= _MOST_COMMENT:
            return comment
        kept.pop()


def _told(archive: zipfile.ZipFile) -> list[str]:
    if not archive.comment.startswith(_MARK):
        return []
    try:
        lines = json.loads(archive.comment.removeprefix(_MARK))
    except (ValueError, RecursionError):
        return []
    return [line for line in lines if isinstance(line, str)] if isinstance(lines, list) else []


def folders_of(members: list[Member]) -> Iterator[str]:
    """The folders that files lie in, each once, in order."""
    yield from dict.fromkeys(member.folder for member in members)
