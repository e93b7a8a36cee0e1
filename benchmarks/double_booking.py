"""Whether two workers ever have one GPU: many are started and killed at random, all at once.

python -m benchmarks.double_booking [--starts 1000] [--seed 1]

Each takes GPUs as a worker does, by their numbers or by UUIDs cut short, of those that a cluster
manager allows: two whole ones and one that is divided for some and not for others; and starts a
job for each. Workers are killed by SIGKILL at any moment. A job that begins looks whether another
lives that has its GPU, or a part or the whole of it. The GPUs are made up: what is tried is the
choice and the locks, in processes of their own.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from benchmarks.machine import describe
from cvq.devices import Gpu, GpuLocks, chosen
from cvq.devices.gpus import visible
from cvq.errors import SetupError

_AT_ONCE = 8
_CONFLICT, _REFUSED = 3, 4
_WHOLE = [Gpu(str(number), f"GPU-{number}{number}aa") for number in range(3)]
_PARTS = [Gpu(f"2:{nth}", f"MIG-{nth}{nth}", parent=_WHOLE[2].uuid) for nth in range(3)]


@click.command()
@click.option("--starts", default=1000, show_default=True, help="Workers that are started.")
@click.option("--seed", default=1, show_default=True, help="Of the draws.")
def main(starts: int, seed: int) -> None:
    """Print how many workers had what, and how many GPUs two had at once; exit with 1 at any."""
    print(describe())
    draws = random.Random(seed)
    ends: Counter[str] = Counter()
    with TemporaryDirectory(prefix="cvq-") as folder:
        alive: list[subprocess.Popen[bytes]] = []
        for _ in range(starts):
            alive.append(_start(Path(folder), draws.randrange(1 << 30)))
            while len(alive) >= _AT_ONCE:
                time.sleep(draws.uniform(0.0, 0.1))
                holding = [one for one in alive if (Path(folder) / f"up-{one.pid}").exists()]
                # Mostly those that have a GPU, and now and then one that is at any other point.
                some = holding[:1] if draws.random() < 0.8 else draws.sample(alive, 1)
                ends += _killed(alive, some)
        ends += _killed(alive, list(alive))
        booked = sum(1 for _ in Path(folder).glob("conflict-*"))
        jobs = sum(1 for _ in Path(folder).glob("job-*"))
        _end_jobs(Path(folder))
    print(", ".join(f"{count} {how}" for how, count in ends.most_common()))
    print(f"{jobs} jobs began; double-booked: {booked}   (at most 0)")
    sys.exit(1 if booked else 0)


def _start(folder: Path, seed: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "benchmarks.double_booking", "worker", str(folder), str(seed)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def _killed(
    alive: list[subprocess.Popen[bytes]], some: list[subprocess.Popen[bytes]]
) -> Counter[str]:
    """Kill some that live, and let go of those that have ended by themselves."""
    for one in some:
        one.send_signal(signal.SIGKILL)
        one.wait()
    ended = [one for one in alive if one.poll() is not None]
    alive[:] = [one for one in alive if one.returncode is None]
    return Counter(_named(one.returncode) for one in ended)


def _named(code: int) -> str:
    return {-signal.SIGKILL: "killed", _REFUSED: "refused", 0: "done"}.get(code, f"exit {code}")


def _worker(folder: Path, seed: int) -> None:
    """Be a worker: take GPUs, have a job use each, and let them end at some time."""
    draws = random.Random(seed)
    gpus = _WHOLE if draws.random() < 0.5 else [*_WHOLE[:2], *_PARTS]
    allowed = draws.choice([None, None, "0,1", "2,0", "GPU-22,1"])
    seen = visible(gpus, allowed)
    words = [draws.choice([gpu.index, gpu.uuid, gpu.uuid[:6]]) for gpu in seen]
    wanted = ",".join(draws.sample(words, draws.randint(1, min(2, len(words)))))
    try:
        taken = chosen(wanted, seen)
        locks = GpuLocks(taken, folder / "locks", patience=0.5)
    except SetupError:
        sys.exit(_REFUSED)
    jobs = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "benchmarks.double_booking",
                "job",
                str(folder),
                gpu.uuid,
                str(os.getpid()),
            ],
            pass_fds=locks.descriptors,
        )
        for gpu in taken
    ]
    begun = [folder / f"job-{gpu.uuid}.{job.pid}" for gpu, job in zip(taken, jobs, strict=True)]
    while not all(file.exists() for file in begun):
        time.sleep(0.01)
    (folder / f"up-{os.getpid()}").touch()
    time.sleep(draws.uniform(0.1, 0.8))
    for job in jobs:
        job.kill()
        job.wait()
    locks.free()


def _job(folder: Path, uuid: str, worker: int) -> None:
    """Be a job on a GPU: say so, look who else says so, and leave soon after the worker has."""
    (folder / f"job-{uuid}.{os.getpid()}").touch()
    same = {uuid, *_overlapping(uuid)}
    for other in folder.glob("job-*"):
        theirs, _, pid = other.name.removeprefix("job-").partition(".")
        if theirs in same and int(pid) != os.getpid() and _computes(int(pid), folder):
            (folder / f"conflict-{os.getpid()}").touch()
    while os.getppid() == worker:
        time.sleep(0.01)
    time.sleep(random.uniform(0.0, 0.3))  # what a supervisor may need to end it


def _overlapping(uuid: str) -> list[str]:
    if uuid == _WHOLE[2].uuid:
        return [part.uuid for part in _PARTS]
    return [_WHOLE[2].uuid] if uuid.startswith("MIG-") else []


def _computes(pid: int, folder: Path) -> bool:
    """Whether a process lives and is a job of this run; one that is not waited for has ended."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(folder) in words


def _end_jobs(folder: Path) -> None:
    for file in folder.glob("job-*"):
        pid = int(file.name.rpartition(".")[2])
        if _computes(pid, folder):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        _worker(Path(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1:2] == ["job"]:
        _job(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        main()
