"""When an input was last used, so that none is removed while a submission is about to name it.

An input lies in the store before the job that takes it stands in the database, and one that is
there already is not stored again. So whoever finds one there first takes down that it is used, and
whoever removes one first moves it aside, looks once more, and puts it back where somebody has come
meanwhile: of the two, one always sees the other.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .files import atomic

# Nobody has used what is removed for so long: longer than it takes to submit anything.
IDLE_S = 86_400.0
_MARK, _ASIDE = ".used", ".unused"  # behind the key of an input


def note_use(fs: Any, key: str, *, local: bool) -> None:
    """Take down that an input is used, where it is there; to be called before it is looked at."""
    idle = _idle(fs, key, local)
    if idle is None or idle < IDLE_S / 2:
        return  # nobody will remove it soon
    if not local:
        fs.pipe_file(key + _MARK, b"")
        return
    try:
        os.utime(key)
    except FileNotFoundError:  # it was moved aside at this moment
        pass
    except PermissionError:  # another user's
        with atomic(Path(key + _MARK)):
            pass


def remove_unused(fs: Any, key: str, *, local: bool, idle_s: float) -> int | None:
    """Remove an input that nobody has used for so long; its bytes, 0 where it is gone already.

    Returns:
        None where somebody has used it meanwhile: it stays.
    """
    aside = key + _ASIDE
    if not fs.exists(aside):  # else a removal was killed here
        idle = _idle(fs, key, local)
        if idle is None:
            return 0
        if idle < idle_s:
            return None
        fs.mv(key, aside)
    # A copy in a bucket is as old as the copying: there, the mark alone tells.
    since = (
        age_of(fs, key + _MARK, local=local) if not local else _idle(fs, aside, local, mark=key)
    )
    if since is not None and since < idle_s:
        if fs.exists(key):
            _drop(fs, aside)
        else:
            fs.mv(aside, key)
        return None
    size = int(fs.size(aside) or 0)
    _drop(fs, aside)
    _drop(fs, key + _MARK)
    return size


def _idle(fs: Any, key: str, local: bool, mark: str | None = None) -> float | None:
    """For how many seconds nobody has used what lies there; None where nothing does."""
    ages = [age_of(fs, key, local=local), age_of(fs, (mark or key) + _MARK, local=local)]
    return None if ages[0] is None else min(age for age in ages if age is not None)


def age_of(fs: Any, key: str, *, local: bool) -> float | None:
    """Seconds since a file was written; None where there is none."""
    try:
        if local:
            return time.time() - os.stat(key).st_mtime  # noqa: PTH116 - a key is a text
        written: datetime = fs.modified(key)
    except FileNotFoundError:
        return None
    aware = written if written.tzinfo else written.replace(tzinfo=UTC)
    return (datetime.now(UTC) - aware).total_seconds()


def files_in(fs: Any, folder: str, *, local: bool) -> Iterator[str]:
    """The keys of all files in a folder; in a bucket, as of one moment."""
    if local:
        for path, _, names in os.walk(folder):
            yield from (f"{path}/{name}" for name in names)
    else:
        fs.invalidate_cache()
        yield from fs.find(folder)


def _drop(fs: Any, key: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        fs.rm_file(key)
