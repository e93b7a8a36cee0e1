"""Which workers are there: each holds a lock in its home folder for as long as it lives.

    HOME/scratch/WORKER/lock     held while the worker lives, and free the moment it is dead
    HOME/scratch/WORKER/42-1     what attempt 1 of job 42 works in

A process number may be another's by now, a row in the database be that of another machine's
worker, and a machine may have got another name. The lock tells for sure. Folders of two databases
in one home do not meet, and a folder whose lock is free is nobody's. One without a lock may be an
earlier cvq's, whose worker still runs a job in it: it is removed once nothing in it has changed
for a week.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import time
from pathlib import Path
from urllib.parse import quote

from .files import lock

_LOCK = "lock"
_FORGOTTEN_S = 7 * 86_400.0


class Presence:
    """A worker's own folder, with its lock held until `leave` or the end of the process."""

    def __init__(self, home: Path, worker: str) -> None:
        self.folder = scratch_of(home, worker)
        with lock(home / "scratch.lock"):
            _remove_stale(home)
            self.folder.mkdir(parents=True)
            self._file = (self.folder / _LOCK).open("x")
            fcntl.flock(self._file, fcntl.LOCK_EX)
        json.dump({"worker": worker, "pid": os.getpid(), "machine": _machine()}, self._file)
        self._file.flush()

    def leave(self) -> None:
        """Remove the folder and give the lock back."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._file.close()


def scratch_of(home: Path, worker: str) -> Path:
    """The folder below which a worker's jobs work."""
    return home / "scratch" / quote(worker, safe="")


def present(home: Path) -> dict[str, int]:
    """The living workers of this home on this machine: their ids and process numbers."""
    found = {}
    for file in (home / "scratch").glob(f"*/{_LOCK}"):
        with contextlib.suppress(OSError, ValueError, KeyError), file.open("r+") as opened:
            if _is_free(opened.fileno()):
                continue
            said = json.load(opened)
            if said["machine"] == _machine():
                found[str(said["worker"])] = int(said["pid"])
    return found


def stale(home: Path) -> list[Path]:
    """The folders of workers that are dead, and those that nobody has touched for a week."""
    found = [
        folder
        for folder in (home / "scratch").glob("*")
        if not (folder / _LOCK).exists() and _untouched_s(folder) > _FORGOTTEN_S
    ]
    for file in (home / "scratch").glob(f"*/{_LOCK}"):
        with contextlib.suppress(OSError), file.open("r+") as opened:
            if _is_free(opened.fileno()):
                found.append(file.parent)
    return found


def sweep(home: Path) -> int:
    """Remove the folders that are `stale`, and return how many there were."""
    with lock(home / "scratch.lock"):  # a worker that starts holds it until its own is locked
        return _remove_stale(home)


def _remove_stale(home: Path) -> int:
    folders = stale(home)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    return len(folders)


def _untouched_s(folder: Path) -> float:
    """Seconds since anything in a folder was changed last; none where that cannot be told."""
    try:
        changed = max(each.lstat().st_mtime for each in (folder, *folder.rglob("*")))
    except OSError:
        return 0.0
    return time.time() - changed


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _machine() -> str:
    """Where process numbers mean the same: this start of this machine, and this container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux
        return socket.gethostname()
