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
import logging
import os
import re
import stat
import time
from collections.abc import Iterable
from pathlib import Path

from ..errors import SetupError
from .gpus import Gpu

log = logging.getLogger("cvq.devices")

_PATIENCE_S = 10.0  # what a killed worker's jobs may need to be gone
_GLANCE_S = 0.5  # what a look of another's may take
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
        self._folder, self._patience = folder, patience
        self._held: dict[str, tuple[int, Gpu, int]] = {}
        own = fcntl.LOCK_SH if share else fcntl.LOCK_EX
        try:
            for gpu in gpus:
                if gpu.parent is not None and gpu.parent not in self._held:
                    self._take(gpu.parent, fcntl.LOCK_SH, gpu)
                self._take(gpu.uuid, own, gpu)
        except BaseException:
            self.free()
            raise

    def _take(self, uuid: str, how: int, gpu: Gpu) -> None:
        begun = time.monotonic()
        while True:
            descriptor = _opened(self._folder, uuid)
            if _locks(descriptor, how):
                if _is_there(self._folder, uuid, descriptor):
                    break
                os.close(descriptor)  # somebody has removed the file: the next one counts
                continue
            waited, holder = time.monotonic() - begun, _holder_pid(descriptor)
            os.close(descriptor)
            if waited > self._patience or (waited > _GLANCE_S and _lives(holder)):
                raise SetupError(_taken(gpu, holder))
            time.sleep(_LOOK_S)  # flock alone would wait for ever
        self.descriptors.append(descriptor)
        self._held[uuid] = how, gpu, descriptor

    def keep(self) -> None:
        """See that nobody has removed the files, as who tidies up does, and make them again.

        What tells of it is a warning: another worker may have had the GPU in between.
        """
        for uuid, (how, gpu, descriptor) in list(self._held.items()):
            with contextlib.suppress(OSError):  # somebody else's file
                os.utime(descriptor)  # for those who remove what is old
            if _is_there(self._folder, uuid, descriptor):
                continue
            with contextlib.suppress(SetupError):
                self._take(uuid, how, gpu)
                log.warning("the lock of GPU %s (%s) was removed: made again", gpu.index, uuid)
                continue
            log.error("the lock of GPU %s (%s) was removed, and another has it", gpu.index, uuid)

    def free(self) -> None:
        """Give the locks back; jobs' processes that still live keep them until their end."""
        self._held.clear()
        while self.descriptors:
            os.close(self.descriptors.pop())


def holder_of(gpu: Gpu, folder: Path) -> str | None:
    """Who uses a GPU: `process 123`, `another worker`; None where it is free, or soon will be."""
    for uuid in filter(None, (gpu.uuid, gpu.parent)):
        how = fcntl.LOCK_EX if uuid == gpu.uuid else fcntl.LOCK_SH
        descriptor = _opened(folder, uuid)
        try:
            if not _locks(descriptor, how):
                pid = _holder_pid(descriptor)
                if pid is None or _lives(pid):
                    return _named(pid)
        finally:
            os.close(descriptor)
    return None


def _locks(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_there(folder: Path, uuid: str, descriptor: int) -> bool:
    """Whether a file is still the one that others find."""
    with contextlib.suppress(OSError):
        return os.path.samestat(_path(folder, uuid).stat(), os.fstat(descriptor))
    return False


def _taken(gpu: Gpu, holder: int | None) -> str:
    return (
        f"GPU {gpu.index} ({gpu.uuid}) is used by {_named(holder)}: stop that one, choose "
        "others with --gpus, or start both with --share-gpu"
    )


def _named(pid: int | None) -> str:
    return "another worker" if pid is None else f"process {pid}"


def _holder_pid(descriptor: int) -> int | None:
    """The process that took a lock, as the kernel lists it; None where it does not say.

    That process may be dead, and others hold what it took.
    """
    about = os.fstat(descriptor)
    file = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}"
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            found = re.search(r": FLOCK\s+\S+\s+\S+\s+(\d+)\s+(\S+)\s", line)
            if found and found[2] == file and int(found[1]) > 0:
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
    path = _path(folder, uuid)
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
                os.close(os.open(path, _OPEN | os.O_CREAT | os.O_EXCL, 0o666))
                path.chmod(0o666)  # whatever the umask
    except OSError as error:
        raise SetupError(f"{path} cannot be locked: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SetupError(f"{path} cannot be locked: it is no file")
    return descriptor


def _path(folder: Path, uuid: str) -> Path:
    return folder / re.sub(r"[^A-Za-z0-9-]", "_", uuid)
