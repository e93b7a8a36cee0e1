"""Which of a job's files are its results, and where copies of them go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from .endings import is_picture
from .errors import UsageError
from .files import check_replaceable, sha256_of
from .names import Names
from .states import Role

if TYPE_CHECKING:
    from .records import Artifact

EVERY_ROLE = "all"
_DRAWN = (Role.PREVIEW, Role.SAMPLE)
# What a job leaves on its way. Whatever else it leaves is what it was run for.
_ON_THE_WAY = frozenset({Role.CHECKPOINT, "checkpoint", Role.PREVIEW, Role.SAMPLE})


def results_of(artifacts: Iterable[Artifact]) -> list[Artifact]:
    """What a job was run for.

    These are the files of role `result`; where a job has none of these, as a training, all but
    checkpoints, previews and samples: its model, model card, reports and plots.
    """
    found = list(artifacts)
    marked = [artifact for artifact in found if artifact.role == Role.RESULT]
    return marked or [artifact for artifact in found if artifact.role not in _ON_THE_WAY]


def choose(
    artifacts: Sequence[Artifact], role: str | None = None, name: str = "*"
) -> list[Artifact]:
    """The files of a role with names like a pattern.

    `all` means every role; None the results, or where none of these has such a name, every role.
    """
    like = [artifact for artifact in artifacts if is_called(artifact.name, name)]
    if role is None:
        results = results_of(artifacts)
        return [file for file in like if file in results] or ([] if name == "*" else like)
    return [file for file in like if role in (EVERY_ROLE, file.role)]


def looked_at(artifacts: Sequence[Artifact], name: str | None = None) -> list[Artifact]:
    """The pictures of a job that one looks at: of its results, or the last that it drew before.

    Args:
        artifacts: the files that it has left.
        name: only those called so, or like this pattern, of whatever role.
    """
    found = [file for file in choose(artifacts, None, name or "*") if is_picture(file.name)]
    if found or name is not None:
        return found
    return [file for file in artifacts if file.role in _DRAWN and is_picture(file.name)][-1:]


def is_called(name: str, pattern: str) -> bool:
    """Whether a file has this name, also one with brackets in it, or one like the pattern."""
    return name == pattern or fnmatchcase(name, pattern)


def targets(artifacts: Iterable[Artifact], folder: Path) -> list[tuple[Artifact, Path]]:
    """Where in a folder each file goes: under its name, of which no two meet."""
    names = Names()
    return [(artifact, folder / names.place(artifact.name)) for artifact in artifacts]


def missing_copies(
    plan: Sequence[tuple[Artifact, Path]], *, force: bool
) -> list[tuple[Artifact, Path]]:
    """What is still to be copied.

    Raises:
        UsageError: a target has other content, which only `force` overwrites; or is a folder.
    """
    return [
        (artifact, target)
        for artifact, target in plan
        if is_missing(target, artifact.sha256, force=force)
    ]


def is_missing(target: Path, sha256: str, *, force: bool) -> bool:
    """Whether a file is still to be written; False where its content is there already.

    Raises:
        UsageError: there is other content, which only `force` overwrites; or a folder or a device.
    """
    if target.is_dir():
        raise UsageError(f"{target} is a folder")
    check_replaceable(target)
    if not target.exists():
        return True
    if sha256_of(target) == sha256:
        return False
    if not force:
        raise UsageError(f"{target} exists with other content: --force overwrites it")
    return True
