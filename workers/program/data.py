"""Data in a program's folder: a folder unpacked once for all jobs of a machine, a file copied."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from cvq.errors import PermanentError
from cvq.files import lock
from cvq.folders.archive import unpack
from cvq.inputs.folders import PlacedData


def place_data(files: list[PlacedData], folder: Path, cache: Path) -> dict[str, os.stat_result]:
    """Bring data to their places in a program's folder.

    A folder is a link to what lies unpacked in the cache, which all jobs of this machine share:
    it is to be read, and where somebody has written to it, it is unpacked anew.

    Args:
        files: on this machine.
        folder: the program's.
        cache: see `Context.cache`.

    Returns:
        of each file that was copied, by its name in the folder, how it lies there.

    Raises:
        PermanentError: something lies at a place, or what was stored is no folder.
    """
    copied = {}
    for file in files:
        path = _free(folder, file.place)
        if file.folder:
            path.symlink_to(_unpacked(file, cache), target_is_directory=True)
        else:
            shutil.copyfile(file.local_path, path)
            copied[file.place] = path.stat()
    return copied


def _free(folder: Path, place: str) -> Path:
    """A place in the folder, the folders above it made."""
    path = folder / place
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sound = path.parent.resolve().is_relative_to(folder.resolve())
    except OSError:  # a file is there
        sound = False
    if not sound or os.path.lexists(path):
        raise PermanentError(
            f"the program's folder has '{place}' already: give the data another place "
            "(--data PLACE=PATH)"
        )
    return path


def _unpacked(file: PlacedData, cache: Path) -> Path:
    """Where the files of a data folder lie on this machine."""
    home = cache / "folders" / str(file.sha256)
    files, state = home / "files", home / "state"
    with lock(home / "lock"):
        if state.is_file() and state.read_text() == _state(files):
            return files
        state.unlink(missing_ok=True)
        _remove(files)
        unpack(file.local_path, files)
        for path in _all(files):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & ~0o222)
        state.write_text(_state(files))
    return files


def _state(folder: Path) -> str:
    """What is another once somebody has written to the folder: of names, sizes and times."""
    whole = hashlib.sha256()
    for top, inside, names in os.walk(folder):
        inside.sort()
        for name in sorted(names):
            path = os.path.join(top, name)  # noqa: PTH118 - there may be a million
            found = os.lstat(path)
            whole.update(os.fsencode(f"{path}\0{found.st_size} {found.st_mtime_ns}\n"))
    return whole.hexdigest()


def _all(folder: Path) -> Iterator[Path]:
    """All that lies in a folder, and the folder."""
    for top, inside, names in os.walk(folder, topdown=False):
        yield from (Path(top, name) for name in names)
        yield from (path for name in inside if (path := Path(top, name)).is_symlink())
        yield Path(top)


def _remove(folder: Path) -> None:
    """Remove a folder in which nothing may be written."""
    for top, _, _ in os.walk(folder):
        Path(top).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
