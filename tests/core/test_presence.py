"""Who is there: told by a lock, and by nothing that could be another's."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from cvq.presence import Presence, present, scratch_of
from waiting import HANG_S, eventually

STAY = """
import sys
from pathlib import Path
from cvq.presence import Presence
mine = Presence(Path(sys.argv[1]), sys.argv[2])
print("here", flush=True)
sys.stdin.read()
"""


def another(home: Path, name: str) -> subprocess.Popen[str]:
    """A worker in another process, which stays until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", STAY, str(home), name],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate(timeout=HANG_S)


def test_a_worker_is_present_until_it_leaves(home: Path) -> None:
    assert present(home) == {}
    mine = Presence(home, "lab/1.4711.ab")
    assert present(home) == {"lab/1.4711.ab": os.getpid()}
    assert mine.folder.parent == home / "scratch"
    mine.leave()
    assert present(home) == {}
    assert not mine.folder.exists()


def test_who_is_killed_is_gone_and_swept_by_the_next(home: Path) -> None:
    dead, living = another(home, "dead"), another(home, "living")
    for name in ("dead", "living"):
        (scratch_of(home, name) / "1-1").mkdir()
    end(dead)
    assert present(home) == {"living": living.pid}
    next_one = Presence(home, "next")
    assert not scratch_of(home, "dead").exists()
    assert (scratch_of(home, "living") / "1-1").is_dir()
    next_one.leave()
    end(living)
    eventually(lambda: present(home) == {})


def test_a_number_of_another_machine_is_nobodys_here(home: Path) -> None:
    mine = Presence(home, "mine")
    lock = mine.folder / "lock"
    lock.write_text(lock.read_text().replace('"machine": "', '"machine": "another'))
    assert present(home) == {}
    mine.leave()


def test_what_no_lock_guards_goes_when_it_is_forgotten(home: Path) -> None:
    scratch = home / "scratch"
    for name in ("42-1", "43-1"):
        (scratch / name / "out").mkdir(parents=True)
        (scratch / name / "out" / "x.png").write_text("x")
    long_ago = time.time() - 8 * 86_400
    for path in (scratch / "42-1", *scratch.rglob("out"), *scratch.rglob("x.png")):
        os.utime(path, (long_ago, long_ago))
    Presence(home, "mine").leave()  # 43-1 may be where a worker of an earlier cvq runs a job
    assert [path.name for path in scratch.iterdir()] == ["43-1"]
