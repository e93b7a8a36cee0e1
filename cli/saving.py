"""`-o PATH`: where a job's results go; refused at once where that cannot work at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from cvq.endings import PICTURES, ending_of, spellings_of
from cvq.errors import UsageError
from cvq.text import join

from .formats import clean, count
from .options import FilePath
from .output import note
from .widths import whole

if TYPE_CHECKING:
    from cvq.client import Client
    from cvq.handle import JobHandle
    from cvq.kinds.kind import Kind
    from cvq.records import Artifact


def output_options() -> list[click.Parameter]:
    """`-o` and `--force`."""
    return [
        click.Option(
            ["-o", "--output"], type=FilePath(), metavar="PATH",
            help="Copy the result to this file, or into this folder (NAME/ is created).",
        ),
        click.Option(["-f", "--force"], is_flag=True, help="Overwrite what is at PATH."),
    ]  # fmt: skip


def check_target(given: str, *, force: bool) -> Path:
    """The target, once it is sure that results can be written there.

    Args:
        given: as it was typed; with a slash at its end, a folder.
        force: a file that is there may be overwritten.

    Raises:
        UsageError: there is a file already, or a device, or none can be made.
    """
    from cvq.files import check_replaceable

    target = Path(given).expanduser()
    check_replaceable(target)
    if is_folder(given):
        _check_folder(target, _existing(target))
        return target
    if target.exists() and not force:
        raise UsageError(f"-o {target} exists: --force overwrites it")
    if not target.parent.is_dir():
        raise UsageError(f"-o {target}: the folder {target.parent} does not exist")
    _check_folder(target, target.parent)
    return target


def is_folder(given: str) -> bool:
    """Whether a folder is meant: there is one, or a slash at its end says so."""
    return given.endswith("/") or Path(given).expanduser().is_dir()


def _existing(folder: Path) -> Path:
    """A folder, or the one that it is to be made in; nothing is made for a job that may fail."""
    while not (folder.exists() or folder.is_symlink()):
        folder = folder.parent
    return folder


def _check_folder(target: Path, folder: Path) -> None:
    import tempfile

    if not folder.is_dir():
        raise UsageError(f"-o {target}: this folder cannot be created ({folder} is none)")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"-o {target}: {folder} cannot be written ({error.strerror})") from None


def make_folder(target: Path) -> None:
    """Make a folder.

    Raises:
        UsageError: that cannot be.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"-o {target}: this folder cannot be created ({error.strerror})"
        ) from None


def with_format(kind: Kind, values: dict[str, Any], target: Path) -> dict[str, Any]:
    """The values, with the format that the target's ending asks for.

    Raises:
        UsageError: the kind writes no such file.
    """
    wanted = ending_of(target)
    if not wanted:
        return values
    field = kind.spec.model_fields.get("format")
    formats = get_args(field.annotation) if field else ()
    chosen = bool(formats) and PICTURES.issuperset(formats)
    asked = (values["format"],) if chosen and "format" in values else None
    known = asked or (formats if chosen else _endings(kind, values))
    if known and wanted not in known:
        by = f"--format {asked[0]}" if asked else kind.name
        endings = [f".{end}" for one in known for end in spellings_of(one)]
        listed = join(endings, most=len(endings), last="or")
        raise UsageError(f"-o {target}: {by} writes {listed}")
    return values | {"format": wanted} if chosen else values


def _endings(kind: Kind, values: dict[str, Any]) -> tuple[str, ...]:
    """What the names of a job's results end in; () where that is not known.

    Of the pictures of a shard a job leaves a table, whatever its kind leaves of a few.
    """
    given = values.get(kind.items or "")
    words = given if isinstance(given, list) else [given]
    shards = [word for word in words if str(word).lower().endswith(".tar")]
    return ("parquet",) if kind.inference and shards else kind.endings


def copy_results(
    client: Client,
    handle: JobHandle,
    target: Path,
    *,
    folder: bool = False,
    force: bool = False,
    quiet: bool = False,
) -> None:
    """Copy a job's results to a file, numbered from the second on, or into a `folder`.

    What was copied is said unless `quiet`. A file is only given an ending that is true of it, and
    overwrites nothing unless by `force`: where one came in between, the copy gets a number.
    """
    results = handle.results
    if not results:
        note(f"cvq: warning: job {handle.id} left no result to copy to {target}")
    if folder or (len(results) > 1 and not target.suffix and not target.exists()):
        make_folder(target)
    for artifact, path in _plan(results, target, force=force):
        client.fetch(handle.id, artifact, path)
        if not quiet:
            note(f"copied {clean(artifact.name)} to {whole(path)}")
    if not (quiet or target.is_dir()) and (left := len(results) - len(_fitting(results, target))):
        note(f"{count(left, 'other file')}: `cvq get {handle.id}` copies all of them")


def _plan(
    results: Sequence[Artifact], target: Path, *, force: bool
) -> list[tuple[Artifact, Path]]:
    from cvq.names import Names

    names = Names()
    folder = target if target.is_dir() else target.parent

    def place(artifact: Artifact, name: str) -> Path:
        return folder / names.place(name, lambda path: _taken(folder / path, artifact, force))

    if target.is_dir():
        return [(artifact, place(artifact, artifact.name)) for artifact in results]
    stem, endings = target.stem, [target.suffix] * len(results)
    fitting = _fitting(results, target)
    if target.suffix and not _fits(fitting, target):
        note(f"cvq: warning: no result is a {target.suffix} file: copies keep their own endings")
        endings = [Path(artifact.name).suffix for artifact in fitting]
    return [
        (artifact, place(artifact, stem + ending))
        for artifact, ending in zip(fitting, endings, strict=False)
    ]


def _fits(results: Sequence[Artifact], target: Path) -> bool:
    return any(ending_of(file.name) == ending_of(target) for file in results)


def _fitting(results: Sequence[Artifact], target: Path) -> Sequence[Artifact]:
    """The results that a target's ending is true of; all where it is true of none."""
    same = [file for file in results if ending_of(file.name) == ending_of(target)]
    return same or results


def _taken(path: Path, artifact: Artifact, force: bool) -> bool:
    from cvq.files import sha256_of

    if path.exists() and not path.is_file():  # a folder, or a pipe that nobody writes to
        return True
    return path.exists() and not force and sha256_of(path) != artifact.sha256
