"""What files hold: read whole, with what tells whether they were changed since, and its digest."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import time
from typing import Any

from ..files import why
from ..manifests import Stamp

MOST_BYTES = 256 << 20  # of one file in a shard
# Without O_NONBLOCK, a pipe would wait for whoever writes to it.
_HOW = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)
_OF_A_FILE = {"name", "sha256", "bytes", "items"}


class UnreadableError(Exception):
    """Why a file has no content; it reads on behind the file's name."""


def read_file(path: str | os.PathLike[str]) -> tuple[bytes, Stamp | None]:
    """The content of a regular file, and its stamp from before it was read.

    Raises:
        UnreadableError: it cannot be read, or is too large for a shard.
    """
    now = time.time_ns()
    try:
        file = os.open(path, _HOW)
        try:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode):
                raise UnreadableError("is not a regular file")
            return _all_of(file, found.st_size), Stamp.of(found, now)
        finally:
            os.close(file)
    except OSError as error:
        raise UnreadableError(_why(error)) from None
    except ValueError:  # a NUL in its name
        raise UnreadableError("does not exist") from None


def _all_of(file: int, size: int) -> bytes:
    if size > MOST_BYTES:
        raise UnreadableError(too_large())
    content = os.read(file, size + 1)
    while more := os.read(file, size + 1):  # it has grown, or a read was short
        content += more
        if len(content) > MOST_BYTES:
            raise UnreadableError(too_large())
    return content


def _why(error: OSError) -> str:
    if error.errno in _NOT_THERE:
        return "does not exist"
    if error.errno == errno.ENXIO:  # a socket
        return "is not a regular file"
    return f"cannot be read: {why(error)}"


def too_large() -> str:
    """What is said of a file that no shard takes."""
    return f"is larger than {MOST_BYTES >> 20} MiB"


def digest(content: bytes) -> bytes:
    """The SHA-256 of a content."""
    return hashlib.sha256(content).digest()


def digest_of(given: Any, *, is_file: bool) -> bytes:
    """The SHA-256 of an item as a specification has it: of its only file, else of its JSON.

    Args:
        given: the item.
        is_file: whether it is made of files: values may look like one.
    """
    one = given[0] if isinstance(given, list) and len(given) == 1 else given
    if is_file and isinstance(one, dict) and one.get("sha256") and _OF_A_FILE.issuperset(one):
        return bytes.fromhex(one["sha256"])
    return digest(json.dumps(given, sort_keys=True, separators=(",", ":")).encode())
