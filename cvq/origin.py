"""Where a job was submitted: versions, machine, and the state of the working folder in git."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Self

from . import __version__
from .git import GIT, git_environment

_PATIENCE_S = 0.25  # after which what git has not told is left open
_LAST_S = 0.1  # for which one that was killed is waited for
_FRESH_S = 60.0  # for which a program that submits again and again believes what git has told
_REVISION = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# Short, and quick however large the folder is: HEAD alone is read.
_WHERE = (*GIT, "rev-parse", "HEAD", "--symbolic-full-name", "HEAD")
# Looks at each file that git knows: a million of them take seconds.
_DIRTY = (
    *GIT, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty",
)  # fmt: skip
# Programs through which files that seem changed are read, each with whose settings name it.
_FILTERS = (*GIT, "config", "--show-scope", "--name-only", "--get-regexp", r"^filter\.")


class WorkingFolder:
    """Asks git about a folder, beside what else is done in its block.

    Git is started at once; `told` waits for it no longer than a quarter of a second.

    Args:
        folder: which; default: the one that one stands in.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._since = time.monotonic()
        self._folder = _here() if folder is None else os.path.realpath(folder)
        self._known = _remembered(self._folder)
        there = self._known is None and self._folder is not None and shutil.which("git")
        place = self._folder
        self._asked = [_start(_WHERE, place), _start_dirty(place)] if there else []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._asked:  # of a submission that was refused
            if process is not None:
                _end(process)

    def told(self) -> dict[str, Any] | None:
        """`{"revision", "branch", "dirty"}`, or None outside of git and where it is not installed.

        `dirty` is whether files that git knows were changed, None where that took too long, or
        would run what the folder's own settings name; the branch is None where none is checked
        out.
        """
        if self._known is not None:
            return self._known[0]
        until = self._since + _PATIENCE_S
        where, dirty = [_answer(each, until) for each in self._asked] or [None, None]
        self._asked = []
        found = None
        lines = (where or "").splitlines()
        if lines and _REVISION.fullmatch(lines[0]):
            branch = lines[1].removeprefix("refs/heads/") if len(lines) > 1 else "HEAD"
            found = {
                "revision": lines[0],
                "branch": None if branch == "HEAD" else branch,
                "dirty": None if dirty is None else bool(dirty.strip()),
            }
        self._known = (found,)
        _remember(self._folder, found)
        return found


def origin(host: str, code: str | None, folder: WorkingFolder | None = None) -> dict[str, Any]:
    """What is noted of a submission.

    Args:
        host: what this machine is called in the history.
        code: the version of the kind's code here, see `kinds.code`.
        folder: asked what git says; None leaves that out.
    """
    return {
        "cvq": __version__,
        "python": platform.python_version(),
        "host": host,
        "code": code,
        "git": None if folder is None else folder.told(),
    }


_memory: dict[str, tuple[float, dict[str, Any] | None]] = {}
_remembering = threading.Lock()


def _remembered(folder: str | None) -> tuple[dict[str, Any] | None] | None:
    with _remembering:
        found = _memory.get(folder or "")
    if found is None or time.monotonic() - found[0] > _FRESH_S:
        return None
    return (found[1],)


def _remember(folder: str | None, found: dict[str, Any] | None) -> None:
    with _remembering:
        _memory[folder or ""] = time.monotonic(), found


def _start(command: tuple[str, ...], folder: str | None) -> subprocess.Popen[bytes] | None:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=git_environment(),
            cwd=folder,
            start_new_session=True,  # no Ctrl-C of the terminal's reaches it
        )
    except OSError:
        return None


def _start_dirty(folder: str | None) -> subprocess.Popen[bytes] | None:
    """Ask whether files were changed, where that runs no program that came with the folder."""
    try:
        found = subprocess.run(
            _FILTERS, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE_S,
            env=git_environment(), cwd=folder, start_new_session=True, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    scopes = {line.partition(b"\t")[0] for line in found.stdout.splitlines()}
    is_safe = found.returncode in (0, 1) and not scopes & {b"local", b"worktree"}
    return _start(_DIRTY, folder) if is_safe else None


def _answer(process: subprocess.Popen[bytes] | None, until: float) -> str | None:
    """What a command has said; None where it failed, or was too slow and is ended."""
    if process is None:
        return None
    try:
        said, _ = process.communicate(timeout=max(0.02, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        _end(process)
        return None
    return None if process.returncode else said.decode("utf-8", "replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command; one that hangs in its file system is left to itself."""
    with contextlib.suppress(OSError):
        process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_LAST_S)
    if process.stdout is not None:
        process.stdout.close()


def _here() -> str | None:
    try:
        return str(Path.cwd())
    except OSError:  # it was removed
        return None
