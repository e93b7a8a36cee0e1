"""Small things around files: a lock between processes, an atomic write, a digest."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path

from .errors import SetupError, StoreError, UsageError

_SHA256 = re.compile(r"[0-9a-f]{64}")
_reading_umask = threading.Lock()
_TRIES = 3
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Of a file system, a network or a machine that is short of something: another try may pass.
PASSING = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EROFS),
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN),
        *(errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH),
    }
)


def make_home(folder: Path) -> None:
    """Make a home folder, which only this user may enter, where there is none yet.

    Raises:
        SetupError: it cannot be made.
    """
    if folder.is_dir():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        advice = "set CVQ_HOME to a folder that you can write to"
        raise SetupError(f"{folder} cannot be created: {why(error)}; {advice}") from error


@contextmanager
def lock(path: Path, busy: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold an exclusive lock between processes; it ends with the process, whatever happens.

    Args:
        path: the file to lock.
        busy: called once, before another's lock is waited for.

    Raises:
        SetupError: the folder cannot be written.
    """
    # By hand, as it is no shorter with `filelock`, which asks again and again where the kernel
    # wakes whoever waits, and where there is no flock falls back on a file that outlives a crash.
    make_home(path.parent)
    try:
        file = path.open("w")
    except OSError as error:
        advice = "set CVQ_HOME to a folder that you can write to"
        raise SetupError(f"{path} cannot be written: {why(error)}; {advice}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; it takes its name only when the block succeeds.

    Otherwise nothing is left, and no folder that was made for it.

    Raises:
        StoreError: the folder cannot be written, or the disk is full.
        UsageError: a device or a pipe has this name.
    """
    try:
        new = list(takewhile(lambda folder: not folder.exists(), path.parents))
        check_replaceable(path)
        partial = _partial(path)
        partial.chmod(0o644 & ~_umask())
    except FileExistsError as error:
        raise StoreError(f"{path} cannot be written: {error.filename} is not a folder") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {why(error)}") from error
    try:
        yield partial
        partial.replace(path)
        new = []
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {why(error)}") from error
    finally:
        partial.unlink(missing_ok=True)
        for folder in new:  # from within: those that hold nothing
            with suppress(OSError):
                folder.rmdir()


def _partial(path: Path) -> Path:
    """An empty file beside a path, whose folder is made."""
    for _ in range(_TRIES):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Another who has made the folder, and failed, may take it away again just now.
        with suppress(FileNotFoundError):
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-", suffix=path.suffix)
            os.close(handle)
            return Path(name)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))


def check_replaceable(path: Path) -> None:
    """See that a file put in the place of `path` takes away nothing but a file.

    Whoever may write in /dev would otherwise have a file where the system's device was.

    Raises:
        UsageError: there is a device, a pipe or a socket, or a link to an open file.
    """
    is_special = path.exists() and not path.is_file() and not path.is_dir()
    if is_special or (path.is_symlink() and path.readlink().is_relative_to("/proc")):
        raise UsageError(f"{path} is no file that can be replaced: give the path of one")


def why(error: OSError) -> str:
    """What the system said, in few words."""
    return "the disk is full" if error.errno in _FULL else error.strerror or str(error)


def sha256_of(path: Path) -> str:
    """The file's SHA-256 as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_sha256(text: object) -> bool:
    """Whether something is a SHA-256 as `sha256_of` gives it, and no path or pattern."""
    return isinstance(text, str) and _SHA256.fullmatch(text) is not None


def _umask() -> int:
    # There is no way to read it without setting it: two threads at once could leave it set.
    with _reading_umask:
        current = os.umask(0o077)
        os.umask(current)
    return current
