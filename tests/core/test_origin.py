"""What is noted of the folder in which a job is submitted."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from cvq import __version__, origin
from cvq.origin import WorkingFolder


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "_memory", {})
    monkeypatch.setattr(origin, "_PATIENCE_S", 60.0)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder under git, in which one stands, with one committed file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    git("init", "-q", "-b", "main")
    (tmp_path / "train.py").write_text("lr = 1\n")
    git("add", ".")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first")
    return tmp_path


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


def asked() -> object:
    with WorkingFolder() as folder:
        return folder.told()


def test_the_revision_and_whether_files_were_changed(repository: Path) -> None:
    revision = git("rev-parse", "HEAD").strip()
    assert asked() == {"revision": revision, "branch": "main", "dirty": False}
    (repository / "new.py").write_text("")  # which git does not know
    (repository / "train.py").write_text("lr = 2\n")
    assert asked() == {"revision": revision, "branch": "main", "dirty": False}  # a minute's memory
    origin._memory.clear()
    assert asked() == {"revision": revision, "branch": "main", "dirty": True}
    origin._memory.clear()
    git("checkout", "-q", "--detach")
    assert asked() == {"revision": revision, "branch": None, "dirty": True}


@pytest.mark.usefixtures("repository")
def test_what_takes_too_long_is_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "_DIRTY", ("sleep", "600"))
    with WorkingFolder() as folder:
        slow = folder._asked[1]
        monkeypatch.setattr(origin, "_PATIENCE_S", 0.0)
        where = folder._asked[0]
        assert where is not None
        where.wait()
        folder._since = time.monotonic()
        told = folder.told()
    assert told is not None
    assert told["branch"] == "main"
    assert told["dirty"] is None
    assert slow is not None
    assert slow.poll() is not None


def test_outside_of_git_without_a_commit_and_without_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert asked() is None
    origin._memory.clear()
    git("init", "-q")
    assert asked() is None
    origin._memory.clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert asked() is None


def test_no_program_that_a_folder_names_is_run(repository: Path) -> None:
    spy = repository / "spy.sh"
    spy.write_text(f"#!/bin/sh\ntouch {repository}/seen\n")
    spy.chmod(0o755)
    git("config", "core.fsmonitor", str(spy))
    assert asked()
    assert not (repository / "seen").exists()


def test_a_submission_that_is_refused_leaves_no_process(repository: Path) -> None:
    with WorkingFolder() as folder:
        started = list(folder._asked)
    assert len(started) == 2
    assert all(each is not None and each.poll() is not None for each in started)


def test_a_submission_is_told_with_versions_and_code() -> None:
    said = origin.origin("gpu1", "c0de")
    assert (said["cvq"], said["host"], said["code"], said["git"]) == (
        __version__, "gpu1", "c0de", None,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["clean", "process"])
def test_no_filter_that_a_folder_names_is_run(repository: Path, kind: str) -> None:
    (repository / ".gitattributes").write_text("*.py filter=spy\n")
    (repository / "train.py").write_text("lr = 2\n")  # which git has to read
    assert asked() == {"revision": git("rev-parse", "HEAD").strip(), "branch": "main",
                       "dirty": True}  # fmt: skip
    git("config", f"filter.spy.{kind}", f"touch '{repository}/seen'")
    origin._memory.clear()
    told = asked()
    assert isinstance(told, dict)
    assert told["branch"] == "main"
    assert told["dirty"] is None
    assert not (repository / "seen").exists()
