"""What git says belongs to a folder: what it tracks, and what is new and not ignored."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from ..errors import InvalidInputError
from ..git import GIT, git_environment
from ..text import one_line

_PATIENCE_S = 60.0
_LIST = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
_DEEPEST = 5  # repositories within each other
# What makes a folder one that git keeps its own things in.
_OF_GIT = ("HEAD", "objects", "refs")


def repository_of(folder: Path) -> Path | None:
    """The folder, it or one above, that is a repository; None outside of git.

    Raises:
        InvalidInputError: the folder lies among what git keeps for itself.
    """
    for place in (folder, *folder.parents):
        if all(os.path.exists(place / name) for name in _OF_GIT):  # noqa: PTH110 - never raises
            raise InvalidInputError(
                f"{folder} lies in a repository without a working tree ({place}): clone it, and "
                "give the folder of the clone"
            )
        if os.path.exists(place / ".git"):  # noqa: PTH110
            return place
    return None


def tracked(folder: Path, depth: int = 0) -> tuple[list[str], list[str]]:
    """The names of the files, and notes; repositories within this one are looked through, too.

    Raises:
        InvalidInputError: git is missing or fails: what it ignores, secrets among that, could not
            be told from the rest.
    """
    names: list[str] = []
    notes: list[str] = []
    for each in _ask(folder):
        name = each.rstrip("/")
        path = folder / name
        if path.is_symlink() or not path.is_dir():
            names.append(name)
        elif not (path / ".git").exists():
            notes.append(f"{path} is a submodule that is not checked out: it is left out")
        elif depth == _DEEPEST:
            notes.append(f"{path} is a repository too deep within others: it is left out")
        else:
            inner, more = tracked(path, depth + 1)
            names += [f"{name}/{one}" for one in inner]
            notes += more
    return names, notes


def _ask(folder: Path) -> list[str]:
    if shutil.which("git") is None:
        raise _unknown(folder, "git is not installed")
    try:
        found = subprocess.run(
            (*GIT, *_LIST), cwd=folder, stdin=subprocess.DEVNULL, capture_output=True,
            env=git_environment(anywhere=True), timeout=_PATIENCE_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise _unknown(folder, f"git has said nothing for {_PATIENCE_S:g} s") from None
    except OSError as error:
        raise _unknown(folder, f"git cannot be run: {error.strerror}") from None
    if found.returncode:
        said = one_line(found.stderr.decode("utf-8", "replace"))
        raise _unknown(folder, said.removeprefix("fatal: ") or f"git left with {found.returncode}")
    return [os.fsdecode(name) for name in found.stdout.split(b"\0") if name]


def _unknown(folder: Path, why: str) -> InvalidInputError:
    return InvalidInputError(
        f"{folder} is in a git repository, and what git ignores there is not known: {why}"
    )
