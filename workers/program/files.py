"""What a program leaves: the files that are kept, and its checkpoints."""

from __future__ import annotations

import hashlib
import logging
import mmap
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cvq.context import Context
from cvq.errors import CvqError, PermanentError
from cvq.folders.archive import pack, unpack
from cvq.folders.listing import Member
from cvq.kept import is_kept
from cvq.names import safe_name
from cvq.text import count, join, size

log = logging.getLogger("cvq.job")

_MOST_FILES = 10_000
_GB = 1_000_000_000
_MOST_SAVED = 4 * _GB  # they pass through memory
_NAMED = 5
_LOOK_S = 1.0  # how long a checkpoint is to have lain unchanged


class Kept:
    """Publishes the files that patterns mean, and that the program has made or changed.

    Args:
        folder: where the program ran.
        before: of each file that was there before, how it lay there.
        patterns: see `cvq.kept`.
        gigabytes: what they may have together.
    """

    def __init__(
        self,
        folder: Path,
        before: Mapping[str, os.stat_result],
        patterns: list[str],
        gigabytes: float,
    ) -> None:
        self._folder, self._before = folder, before
        self._patterns, self._most = patterns, int(gigabytes * _GB)

    def publish(self, context: Context) -> int:
        """Hand over what is kept, the smallest first; how many files that were.

        Raises:
            PermanentError: they are too large or too many; those that fit are handed over.
        """
        new = [m for m in _files(self._folder) if self._is_new(m)]
        kept = [member for member in new if is_kept(member.name, self._patterns)]
        left, room, done = [], self._most, 0
        for member in sorted(kept, key=lambda member: (member.bytes, member.name)):
            room -= member.bytes
            if room < 0 or done == _MOST_FILES:
                left.append(member)
                continue
            _publish(context, member)
            done += 1
        if left:
            raise PermanentError(self._too_much(kept, left))
        if new and not self._patterns:
            log.info("not kept: %s; --keep '%s' would keep the first", _named(new), new[0].name)
        elif self._patterns and not kept:
            log.warning("no new file is one of %s: nothing is kept", ", ".join(self._patterns))
        return done

    def _is_new(self, member: Member) -> bool:
        before = self._before.get(member.name)
        if before is None:
            return True
        now = member.path.lstat()
        return (now.st_ino, now.st_size, now.st_mtime_ns) != (
            before.st_ino, before.st_size, before.st_mtime_ns,
        )  # fmt: skip

    def _too_much(self, kept: list[Member], left: list[Member]) -> str:
        whole = sum(member.bytes for member in kept)
        return (
            f"the files to be kept are {count(len(kept), 'file')} with {size(whole)}, and "
            f"{size(self._most)} in {_MOST_FILES:,} files are kept at most: not kept are "
            f"{_named(left[::-1])}; --keep-gb raises the limit, and --keep chooses"
        )


class Saved:
    """A folder in which a program saves what it needs to go on, and which the next attempt has.

    Args:
        folder: where it lies.
        context: of the job.
        scratch: a folder for archives.
    """

    def __init__(self, folder: Path, context: Context, scratch: Path) -> None:
        self._folder, self._context, self._scratch = folder, context, scratch
        self._seen = self._stored = _state(folder)
        self._step = 0
        self._look_at = 0.0

    def restore(self) -> None:
        """Bring back what an earlier attempt has saved.

        Raises:
            CvqError: it is damaged.
        """
        self._folder.mkdir(parents=True)
        found = self._context.resume()
        if found is None:
            return
        archive = self._scratch / "restored.tar"
        archive.write_bytes(found.state["files"].tobytes())
        shutil.rmtree(self._folder)
        unpack(archive, self._folder)
        archive.unlink()
        self._step = found.step
        self._seen = self._stored = _state(self._folder)

    def look(self) -> None:
        """Store what the program has saved, where it is time for that and it lies still."""
        if not self._context.checkpoint_due() or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _LOOK_S
        before, self._seen = self._seen, _state(self._folder)
        if self._seen == before != self._stored:
            self.store()

    def store(self) -> None:
        """Store what there is, if it is new. Where the job is to stop, it ends here."""
        now = _state(self._folder)
        if now == self._stored:
            return
        members = sorted(_files(self._folder), key=lambda member: os.fsencode(member.name))
        whole = sum(member.bytes for member in members)
        if whole > _MOST_SAVED:
            self._stored = now
            log.warning("no checkpoint is kept: %s, and %s are kept at most", size(whole),
                        size(_MOST_SAVED))  # fmt: skip
            return
        import numpy as np  # which a program without checkpoints does not need here

        archive = self._scratch / "checkpoint.tar"
        try:
            pack(members, archive)
        except (CvqError, OSError) as error:  # it is being written: the next look finds it
            log.warning("no checkpoint is kept, the program goes on: %s", error)
            archive.unlink(missing_ok=True)
            return
        self._stored = now
        self._step += 1
        with archive.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        archive.unlink()
        self._context.checkpoint(self._step, files=np.frombuffer(mapped, np.uint8))


def _files(folder: Path) -> Iterator[Member]:
    """The regular files below a folder; no link is followed."""
    for top, inside, names in os.walk(folder):
        inside[:] = sorted(name for name in inside if name != "__pycache__")
        for name in sorted(names):
            path = Path(top, name)
            try:
                found = path.lstat()
            except OSError:  # gone meanwhile
                continue
            if stat.S_ISREG(found.st_mode):
                executable = bool(found.st_mode & stat.S_IXUSR)
                yield Member(path.relative_to(folder).as_posix(), path, found.st_size, executable)


def _state(folder: Path) -> dict[str, Any]:
    """What is another once a file has changed."""
    found = {}
    for member in _files(folder):
        try:
            now = member.path.lstat()
        except OSError:
            continue
        found[member.name] = (now.st_ino, now.st_size, now.st_mtime_ns)
    return found


def _publish(context: Context, member: Member) -> None:
    """Hand over a file, under its own name where that can be one."""
    name = member.name.encode("utf-8", "replace").decode()
    try:
        name = safe_name(name)
    except CvqError:
        mark = hashlib.sha256(os.fsencode(member.name)).hexdigest()[:8]
        name = f"long-names/{mark}-{Path(name).name[-200:]}"
        log.warning("%s… is kept as %s", member.name[:60], name)
    with context.artifact(name) as path:
        try:
            member.path.replace(path)
        except OSError:
            shutil.copyfile(member.path, path, follow_symlinks=False)


def _named(members: list[Member]) -> str:
    named = [f"{member.name} ({size(member.bytes)})" for member in members[:_NAMED]]
    more = [f"{len(members) - _NAMED} more"] if len(members) > _NAMED else []
    return join([*named, *more], _NAMED + 1)
