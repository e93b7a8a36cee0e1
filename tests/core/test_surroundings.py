"""Processes that were started in odd places."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cvq import Settings
from cvq.artifacts import open_store
from cvq.files import lock, make_home
from cvq.surroundings import leave_removed_folder
from waiting import HANG_S


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_filled(closed: str, tmp_path: Path) -> None:
    code = """
import os, sys
from cvq.surroundings import prepare
prepare()
assert os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT) > 2
print("out"), print("err", file=sys.stderr), sys.stdin.read()
"""
    file = tmp_path / "file"
    script = f'exec "$@" {closed}'
    done = subprocess.run(
        ["sh", "-c", script, "sh", sys.executable, "-c", code, str(file)],
        stdin=subprocess.DEVNULL,
        timeout=HANG_S,
    )
    assert done.returncode == 0
    assert file.read_bytes() == b""


def test_a_removed_folder_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # and back at the end
    leave_removed_folder()
    assert Path.cwd() == tmp_path
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    leave_removed_folder()
    assert Path.cwd() == Path("/")


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("first", ["store", "lock", "worker"])
def test_a_home_is_private_whoever_makes_it(tmp_path: Path, umask: int, first: str) -> None:
    home = tmp_path / "deep" / "home"
    before = os.umask(umask)
    try:
        if first == "store":
            open_store(Settings.load(home=home)).probe()
        elif first == "lock":
            with lock(home / "a.lock"):
                pass
        else:
            make_home(home)
    finally:
        os.umask(before)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
