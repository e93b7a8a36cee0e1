"""Who computes on which GPU of this machine: a lock for each, by its UUID.

A worker locks each of its GPUs for itself; of an instance of a divided GPU, the instance for
itself and the GPU together with others, so that nobody takes the whole. The kernel frees a lock
when the last process that has it open is gone: a worker gives its locks on to its jobs' processes,
so that after a SIGKILL a GPU is free once nothing computes on it any more.

All users of a machine meet in one folder (setting `gpu_locks`). A container has one of its own,
unless it is given the host's: without it, give each container GPUs of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterable
from pathlib import Path

from ..errors import SetupError
from .gpus import Gpu

_PATIENCE_S = 10.0  # what a killed worker's jobs may need to be gone
_LOOK_S = 0.1
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW


class GpuLocks:
    """The locks that a worker holds until `free`, or until it and all its jobs are gone.

    Args:
        gpus: to lock, in this order.
        folder: of the locks.
        share: whether other workers may use them, too, that are started with the same.
        patience: seconds to wait for the jobs of a worker that is dead.

    Raises:
        SetupError: another worker has one of them for itself, or no lock can be made.
    """

    def __init__(
        self,
        gpus: Iterable[Gpu],
        folder: Path,
        *,
        share: bool = False,
        patience: float = _PATIENCE_S,
    ) -> None:
        self.descriptors: list[int] = []
        own = fcntl.LOCK_SH if share else fcntl.LOCK_EX
        deadline = time.monotonic() + patience
        try:
            for gpu in gpus:
                if gpu.parent is not None:
                    self._take(folder, gpu.parent, fcntl.LOCK_SH, gpu, deadline)
                self._take(folder, gpu.uuid, own, gpu, deadline)
        except BaseException:
            self.free()
            raise

    def _take(self, folder: Path, uuid: str, how: int, gpu: Gpu, deadline: float) -> None:
        descriptor = _opened(folder, uuid)
        self.descriptors.append(descriptor)
        while not _locks(descriptor, how):
            if _lives(_holder_pid(descriptor)) or time.monotonic() > deadline:
                raise SetupError(_taken(gpu, descriptor))
            time.sleep(_LOOK_S)  # flock alone would wait for ever

    def free(self) -> None:
        """Give the locks back; jobs' processes that still live keep them until their end."""
        while self.descriptors:
            os.close(self.descriptors.pop())


def holder_of(gpu: Gpu, folder: Path) -> str | None:
    """Who uses a GPU: `process 123`, `another worker`; None where it is free."""
    for uuid in filter(None, (gpu.uuid, gpu.parent)):
        how = fcntl.LOCK_EX if uuid == gpu.uuid else fcntl.LOCK_SH
        descriptor = _opened(folder, uuid)
        try:
            if not _locks(descriptor, how):
                return _holder(descriptor)
        finally:
            os.close(descriptor)
    return None


def _locks(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _taken(gpu: Gpu, descriptor: int) -> str:
    return (
        f"GPU {gpu.index} ({gpu.uuid}) is used by {_holder(descriptor)}: stop that one, choose "
        "others with --gpus, or start both with --share-gpu"
    )


def _holder(descriptor: int) -> str:
    pid = _holder_pid(descriptor)
    return "another worker" if pid is None else f"process {pid}"


def _holder_pid(descriptor: int) -> int | None:
    """The process that took a lock, as the kernel lists it; None where it does not say.

    That process may be dead, and others hold what it took.
    """
    inode = os.fstat(descriptor).st_ino
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            found = re.search(r": FLOCK\s+\S+\s+\S+\s+(\d+)\s+\S+:(\d+)\s", line)
            if found and int(found[2]) == inode and int(found[1]) > 0:
                return int(found[1])
    return None


def _lives(pid: int | None) -> bool:
    """Whether a process lives; one that nobody has waited for has ended."""
    import psutil

    with contextlib.suppress(psutil.Error):
        return pid is not None and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def _opened(folder: Path, uuid: str) -> int:
    """A lock's file, made where there is none, whoever's it is.

    Without O_CREAT where it is there: the kernel lets nobody open another's file so in a folder
    that all may write to.
    """
    path = folder / re.sub(r"[^A-Za-z0-9-]", "_", uuid)
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(0o1777)
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise SetupError(f"{folder} is no folder: remove it")
        while True:
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(path, _OPEN)
                break
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, _OPEN | os.O_CREAT | os.O_EXCL, 0o444))
                path.chmod(0o444)  # whatever the umask
    except OSError as error:
        raise SetupError(f"{path} cannot be locked: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SetupError(f"{path} cannot be locked: it is no file")
    return descriptor
