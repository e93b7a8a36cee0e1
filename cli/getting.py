"""`cvq get JOB`: which of a job's files are meant, and where the copies go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cvq.endings import PICTURES, ending_of
from cvq.errors import UsageError
from cvq.results import choose, is_called, targets
from cvq.text import join

from .saving import check_target, is_folder

if TYPE_CHECKING:
    from cvq.handle import JobHandle
    from cvq.records import Artifact

STDOUT = "-"
_LISTED = 4  # names in a complaint


class Wanted(NamedTuple):
    """Which files are copied, and whether they replace others: see `cvq.results.choose`."""

    role: str | None
    name: str
    force: bool


class Place(NamedTuple):
    """Where copies go: into a folder, or, of one file, to a path."""

    folder: Path
    file: Path | None = None


def place_of(given: str | None, *, force: bool) -> Place:
    """What `-o` means: an existing folder or one with a slash at its end; else a file.

    Raises:
        UsageError: nothing can be written there.
    """
    if given is None:
        return Place(Path())
    target = Path(given).expanduser()
    if is_folder(given):
        return Place(target)
    # What has the same content is left as it is, so that the file itself is no obstacle yet.
    check_target(given, force=force or target.is_file())
    return Place(target.parent, target)


def chosen(handle: JobHandle, role: str | None, name: str) -> list[Artifact]:
    """The files of a job that are meant; at least one.

    Raises:
        UsageError: there is none; it says what there is.
    """
    files = handle.artifacts
    found = choose(files, role, name)
    if not found:
        raise UsageError(f"job {handle.id} ({handle.state}) {_lack(handle.id, files, role, name)}")
    return found


def plan(handle: JobHandle, place: Place, wanted: Wanted) -> list[tuple[Artifact, Path]]:
    """Which files of a job are copied, and where each goes.

    Raises:
        UsageError: there is none, or several and a single path.
    """
    found = chosen(handle, wanted.role, wanted.name)
    if place.file is None:
        return targets(found, place.folder)
    return [(the_one(handle.id, found, place.file), place.file)]


def the_one(job_id: int, found: Sequence[Artifact], target: Path | None = None) -> Artifact:
    """The one file that is meant where one is needed: of several the one with the target's ending.

    Raises:
        UsageError: it is not sure which, or the target's ending would be untrue of it.
    """
    where = f"-o {STDOUT if target is None else target}"
    ending = "" if target is None else ending_of(target)
    fitting = [file for file in found if ending and ending_of(file.name) == ending]
    if len(found) > 1 and len(fitting) != 1:
        names = join([file.name for file in fitting or found], most=_LISTED)
        folder = "" if target is None else f", or a folder: -o {target}/"
        raise UsageError(f"{where}: several files of job {job_id} are meant ({names}): "
                         f"give the name of one{folder}")  # fmt: skip
    one = (fitting or list(found))[0]
    own = Path(one.name).suffix
    if target is not None and ending in PICTURES and not fitting:
        raise UsageError(f"{where}: {one.name} is no .{ending} file: give -o "
                         f"{target.with_suffix(own)}")  # fmt: skip
    return one


def _lack(job_id: int, files: Sequence[Artifact], role: str | None, name: str) -> str:
    """What is not there, and what is."""
    if not files:
        return "left no files"
    like = "" if name == "*" else f" like '{name}'"
    what = "no result" if role is None and name == "*" else "no file"
    of = "" if role in (None, "all") else f" of role '{role}'"
    others = Counter(file.role for file in files if like and is_called(file.name, name))
    if others:
        said = join([f"{number} of role {other}" for other, number in others.items()])
        verb = "is" if sum(others.values()) == 1 else "are"
        return f"has {what}{of}{like}; {said} {verb}: --role {next(iter(others))}"
    roles = ", ".join(dict.fromkeys(file.role for file in files))
    return f"has {what}{of}{like}: `cvq artifacts {job_id}` lists what it has ({roles})"
