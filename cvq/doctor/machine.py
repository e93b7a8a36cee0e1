"""The home folder and the disks."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import SetupError
from ..files import make_home, why
from ..text import size
from .finding import Finding, note, ok, problem
from .setup import Setup

LITTLE, NOTHING = 1_000_000_000, 50_000_000  # bytes that are free
_NETWORK = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "afs", "lustre", "beegfs", "ceph", "gpfs")


def home(setup: Setup) -> Iterator[Finding]:
    """The home folder: there, one's own to write, closed to others."""
    folder = setup.settings.home
    try:
        make_home(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, SetupError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        said = why(cause) if isinstance(cause, OSError) else str(error)
        yield problem(
            "home", "home-unwritable", f"{folder}: {said}",
            "set CVQ_HOME to a folder of yours: `export CVQ_HOME=$HOME/cvq`",
        )  # fmt: skip
        return
    found = list(_about_home(setup, folder))
    yield from found or [ok("home", str(folder))]


def _about_home(setup: Setup, folder: Path) -> Iterator[Finding]:
    if folder.stat().st_mode & 0o077:
        yield note(
            "home", "home-open", f"{folder}: other users can look into it",
            f"`chmod 700 {shlex.quote(str(folder))}`", "close-home",
        )  # fmt: skip
    kind = file_system_of(folder)
    if setup.settings.database_url is None and kind.startswith(_NETWORK):
        yield note(
            "home", "home-on-network",
            f"{folder} is on a network ({kind}), where SQLite's locks may fail",
            "set CVQ_HOME to a folder of a local disk, or CVQ_DATABASE_URL to a Postgres database",
        )  # fmt: skip


@dataclass(frozen=True)
class Disk:
    """How full the file system is on which a folder lies.

    Attributes:
        path: the folder.
        free: bytes that this user may still write.
        total: bytes that it has.
        files: how many files may still be made; None where it does not say.
    """

    path: Path
    free: int
    total: int
    files: int | None


def disk(setup: Setup) -> Iterator[Finding]:
    """The disks of the home folder, and of a store that is a folder elsewhere."""
    if "home" in setup.failed:
        return
    folders = [setup.settings.home]
    if setup.settings.store.startswith("file://"):
        folders.append(Path(setup.settings.store.removeprefix("file://")))
    seen = set()
    for folder in folders:
        while not folder.exists():
            folder = folder.parent
        if (device := folder.stat().st_dev) not in seen:
            seen.add(device)
            yield judge_disk(_look_at(folder))


def _look_at(folder: Path) -> Disk:
    found = os.statvfs(folder)
    files = found.f_favail if found.f_files else None
    return Disk(folder, found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize, files)


def judge_disk(disk: Disk) -> Finding:
    """What there is to say of a disk."""
    advice = "make room: `cvq prune --older-than 90d --dry-run` says what old jobs hold"
    if disk.files == 0:
        return problem("disk", "disk-full", f"no more files fit where {disk.path} is", advice)
    text = f"{size(disk.free)} free where {disk.path} is"
    if disk.free < NOTHING:
        return problem("disk", "disk-full", text, advice)
    if disk.free < LITTLE:
        return note("disk", "disk-nearly-full", text, advice)
    return ok("disk", text)


def file_system_of(folder: Path) -> str:
    """The kind of file system on which a folder lies, as `ext4`; empty where nobody says."""
    import psutil

    real = folder.resolve()
    mounts = [
        (len(each.mountpoint), each.fstype)
        for each in psutil.disk_partitions(all=True)
        if real.is_relative_to(each.mountpoint)
    ]
    return str(max(mounts)[1]).lower() if mounts else ""
