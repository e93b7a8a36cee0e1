"""What a situation is: how it is brought about, and what has to be said of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cvq.broker.embedded import stop_redis

from .services import Postgres

Environ = dict[str, str]
SECRET = "s3cr3t-w0rd"  # which may stand in no answer


@dataclass
class Place:
    """Where a situation is brought about: a folder of its own, and a Postgres server."""

    folder: Path
    postgres: Callable[[], Postgres]

    @property
    def home(self) -> Path:
        """The home folder."""
        return self.folder / "home"


@dataclass(frozen=True)
class Situation:
    """A set-up.

    Attributes:
        name: in words.
        made: brings it about, and gives the environment in which it is looked at.
        fault: the word for what is wrong; None of one that is healthy.
        fix: what the advice has to contain.
    """

    name: str
    made: Callable[[Place], AbstractContextManager[Environ]]
    fault: str | None = None
    fix: str = ""


@contextmanager
def place(postgres: Callable[[], Postgres]) -> Iterator[Place]:
    """A folder, gone afterwards with the Redis of its home."""
    folder = Path(tempfile.mkdtemp(prefix="cvq-dr-"))
    try:
        yield Place(folder, postgres)
    finally:
        for home in folder.glob("*"):
            if home.is_dir():
                stop_redis(home)
        shutil.rmtree(folder, ignore_errors=True)


def examined(environ: Mapping[str, str], home: Path) -> list[dict[str, Any]]:
    """What `cvq doctor` finds in an environment."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CVQ_")}
    clean |= {"XDG_CONFIG_HOME": os.devnull, "CVQ_HOME": str(home), **environ}
    done = subprocess.run(
        [sys.executable, "-m", "cvq_cli", "doctor", "--json"],
        env=clean, capture_output=True, text=True, check=False, cwd=home.parent,
    )  # fmt: skip
    assert SECRET not in done.stdout + done.stderr, "a secret was shown"
    assert "Traceback" not in done.stderr, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    is_ill = any(each["level"] == "problem" for each in found)
    assert done.returncode == (4 if is_ill else 0), done
    return found


def judged(situation: Situation, found: list[dict[str, Any]]) -> list[str]:
    """What is wrong with an answer; nothing where it is right."""
    told = {each["fault"]: each for each in found if each["level"] != "ok"}
    meant = {situation.fault, *_BESIDE.get(situation.fault, ())}
    wrong = [f"false alarm: {fault}: {told[fault]['text']}" for fault in told.keys() - meant]
    if situation.fault is None:
        return wrong
    if situation.fault not in told:
        return [*wrong, f"not named: {situation.fault}"]
    if situation.fix not in told[situation.fault]["fix"]:
        wrong.append(f"another fix: {told[situation.fault]['fix']}")
    return wrong


# What comes with a fault, and is said as well.
_BESIDE: dict[str | None, tuple[str, ...]] = {"worker-silent": ("stale-folders",)}
