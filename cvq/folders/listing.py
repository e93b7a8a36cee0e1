"""Which files of a folder a job is to have.

Within git, what git tracks and what is new and not ignored, as it lies there now; elsewhere all
of it. A link that leads out of the folder, a socket and what Python can make again stay out.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ..errors import InvalidInputError
from ..files import why
from ..text import count, join, one_line, size
from .tracked import repository_of, tracked

# Not worth their room: Python makes the one again, and a tool of its own the other.
_MADE_AGAIN = frozenset({"__pycache__", ".git"})
_OF_ENVIRONMENTS = "pyvenv.cfg"
_MOST_SEEN = 200_000  # entries that are looked at before a folder is given up
_MOST_DATA = 2_000_000
_NAMED = 3  # of files that something is said of
# What is called like these is often a secret.
_SECRETS = (
    *(".env", ".env.*", ".netrc", ".pgpass", ".pypirc", "*.pem", "*.key", "id_rsa", "id_ed25519"),
    *("credentials", "credentials.json", "secrets.*", "*.kdbx"),
)
_EXAMPLES = ("*.example", "*.sample", "*.template", "*.pub")


@dataclass(frozen=True)
class Member:
    """One file of a folder, or one link.

    Attributes:
        name: its path within the folder, with `/`; what is no UTF-8 in it as half pairs.
        path: where it lies.
        bytes: its size.
        executable: whether its owner may run it.
        link: where it leads, of a link.
    """

    name: str
    path: Path
    bytes: int
    executable: bool = False
    link: str | None = None


@dataclass(frozen=True)
class Listing:
    """The files of a folder, in the order of their names.

    Attributes:
        folder: where they lie.
        members: the files.
        notes: what was left out, and what whoever sends them should know.
    """

    folder: Path
    members: list[Member] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """What they have together."""
        return sum(member.bytes for member in self.members)

    def check_size(self, most_bytes: int, most_files: int, advice: str) -> None:
        """Refuse what is too much for a job, and name the largest.

        Raises:
            InvalidInputError: it is.
        """
        if self.bytes <= most_bytes and len(self.members) <= most_files:
            return
        most = f"{size(most_bytes)} in {count(most_files, 'file')}"
        largest = sorted(self.members, key=lambda member: -member.bytes)[:_NAMED]
        named = ", ".join(f"{_shown(each.name)} {size(each.bytes)}" for each in largest)
        raise InvalidInputError(
            f"{self.folder} has {size(self.bytes)} in {count(len(self.members), 'file')}, and "
            f"{most} are kept with a job at most; the largest: {named}; {advice}"
        )


def list_folder(folder: Path, without: Collection[Path] = ()) -> Listing:
    """The files of a folder that a job is to have.

    Args:
        folder: the folder.
        without: folders and files that are left out, wherever they lie.

    Raises:
        InvalidInputError: it is none, cannot be read, or git does not say what belongs to it.
    """
    folder = _checked(folder)
    found = Listing(folder)
    # A folder that lies in one of them is somebody's, and meant.
    left_out = {
        real for path in without if (real := os.path.realpath(path)).startswith(f"{folder}/")
    }
    if repository_of(folder) is None:
        names: Iterable[str] = _walk(folder, left_out)
    else:
        tracked_names, notes = tracked(folder)
        found.notes.extend(notes)
        names = _without_made(tracked_names)
    strange: dict[str, list[str]] = {}
    for name in sorted(set(names), key=os.fsencode):
        if member := _member(folder, name, left_out, strange):
            found.members.append(member)
    found.notes.extend(_left_out(folder, strange))
    if secrets := [m.name for m in found.members if _is_secret(m.name)]:
        found.notes.append(
            f"{_several(secrets)} in {folder} may hold secrets, and is kept with the job: who may "
            "read the store can read it"
        )
    return found


def list_all(folder: Path) -> Listing:
    """All files of a folder, git or not, as data; what is no file of its own is noted.

    Raises:
        InvalidInputError: it is no folder, or cannot be read.
    """
    folder = _checked(folder)
    found = Listing(folder)
    strange: dict[str, list[str]] = {}
    names = _walk(folder, (), _MOST_DATA)
    found.members.extend(
        member for name in sorted(names, key=os.fsencode)
        if (member := _member(folder, name, (), strange))
    )  # fmt: skip
    found.notes.extend(_left_out(folder, strange))
    return found


def _left_out(folder: Path, strange: dict[str, list[str]]) -> list[str]:
    return [f"{folder}: left out, as {what}: {_several(which)}" for what, which in strange.items()]


def _checked(folder: Path) -> Path:
    try:
        real = folder.resolve(strict=True)
        if not real.is_dir():
            raise InvalidInputError(f"{folder} is not a folder")
        os.scandir(real).close()
    except (OSError, RuntimeError, ValueError) as error:
        said = why(error) if isinstance(error, OSError) else str(error)
        raise InvalidInputError(f"folder {folder} cannot be read: {said}") from None
    return real


def _walk(folder: Path, left_out: Collection[str], most: int = _MOST_SEEN) -> Iterator[str]:
    """The names of all files below, but for what is made again."""

    def refuse(error: OSError) -> None:
        raise InvalidInputError(f"{error.filename} cannot be read: {why(error)}")

    seen = 0
    for top, inside, names in os.walk(folder, onerror=refuse):
        links = [each for each in inside if Path(top, each).is_symlink()]
        inside[:] = [
            each for each in inside
            if each not in _MADE_AGAIN and each not in links
            and not os.path.isfile(Path(top, each, _OF_ENVIRONMENTS))  # noqa: PTH113 - never raises
            and os.path.realpath(Path(top, each)) not in left_out
        ]  # fmt: skip
        seen += len(inside) + len(names)
        if seen > most:
            raise InvalidInputError(
                f"{folder} has more than {most:,} files: give the folder of the program, or none "
                "(--workdir FOLDER, --workdir none)"
            )
        for name in (*names, *links):
            yield Path(top, name).relative_to(folder).as_posix()


def _without_made(names: Collection[str]) -> list[str]:
    """Those that no tool makes again: what a folder of git's has may not be ignored there."""
    environments = tuple(
        f"{PurePosixPath(name).parent}/" for name in names
        if name.endswith(f"/{_OF_ENVIRONMENTS}")
    )  # fmt: skip
    return [
        name for name in names
        if not _MADE_AGAIN.intersection(PurePosixPath(name).parts)
        and not (environments and name.startswith(environments))
    ]  # fmt: skip


def _member(
    folder: Path, name: str, left_out: Collection[str], strange: dict[str, list[str]]
) -> Member | None:
    """The file of this name; None where it stays out, of which `strange` is told."""
    path = folder / name
    try:
        found = path.lstat()
    except FileNotFoundError:  # git knows it still
        return None
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {why(error)}") from None
    if any(str(path) == out or str(path).startswith(f"{out}/") for out in left_out):
        return None
    if stat.S_ISLNK(found.st_mode):
        target = str(path.readlink())
        if stays_within(name, target):
            return Member(name, path, 0, link=target)
        strange.setdefault("they lead out of the folder", []).append(name)
        return None
    if not stat.S_ISREG(found.st_mode):
        strange.setdefault("they are no regular files", []).append(name)
        return None
    if not os.access(path, os.R_OK):
        raise InvalidInputError(f"{path} cannot be read: permission denied")
    return Member(name, path, found.st_size, bool(found.st_mode & stat.S_IXUSR))


def stays_within(name: str, target: str) -> bool:
    """Whether a link of this name, made among real folders, leads to a place within them all.

    It may climb at its beginning alone: behind another link nobody knows what `..` means.
    """
    parts = target.split("/")
    if not target or target.startswith("/") or "\x00" in target:
        return False
    climbs = 0
    while climbs < len(parts) and parts[climbs] == "..":
        climbs += 1
    return climbs <= name.count("/") and ".." not in parts[climbs:]


def _is_secret(name: str) -> bool:
    path = PurePosixPath(name)
    return any(map(path.match, _SECRETS)) and not any(map(path.match, _EXAMPLES))


def _several(names: list[str]) -> str:
    return join([_shown(name) for name in names], _NAMED)


def _shown(name: str) -> str:
    return one_line(name.encode("utf-8", "replace").decode())
