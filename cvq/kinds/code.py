"""The code that makes a kind's answers, told by its sources. None of them is run or imported.

It is what ships with cvq for computing (models, training, inference, how pictures and data are
read), and of a plug-in besides its own module, or all of its package. What that imports from
elsewhere is not seen: `Kind.version` is for that.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from .kind import Kind

_ROOMS = {
    "cvq": ("datasets", "kinds", "pictures"),
    "cvq_workers": ("data", "inference", "models", "training"),
}
_CODE = frozenset({".py", ".pyd", ".so"})
_MOST_FILES = 5_000
_MOST_BYTES = 256 << 20


class _Source(NamedTuple):
    """A file of code: what it is called among the others, where it lies, and its stamp."""

    name: str
    path: str
    size: int
    changed: int


_known: dict[tuple[tuple[str, ...], str], tuple[list[_Source], str]] = {}
_knowing = threading.Lock()


def code_of(kind: Kind) -> str | None:
    """The SHA-256 of the code that makes a kind's answers, as it is on this machine now.

    None where it cannot be told: there are no sources, or more than can be read. Sources are read
    again once one of them has changed, which is told by their sizes and times.
    """
    modules = _modules_of(kind)
    try:
        sources = _sources(modules)
        if sources is None:
            return None
        with _knowing:
            before = _known.get((modules, kind.version))
        if before is not None and before[0] == sources:
            return before[1]
        digest = _digest(sources, kind.version)
    except OSError:  # gone meanwhile, or not ours to read
        return None
    with _knowing:
        _known[modules, kind.version] = sources, digest
    return digest


def _modules_of(kind: Kind) -> tuple[str, ...]:
    """The modules besides cvq's own that a kind names."""
    references = (kind.run, kind.inference, kind.network, kind.spec.__module__)
    modules = {reference.partition(":")[0] for reference in references if reference}
    return tuple(sorted(name for name in modules if _top(name) not in _ROOMS))


def _top(module: str) -> str:
    return module.partition(".")[0]


def _sources(modules: Iterable[str]) -> list[_Source] | None:
    """What there is, in an order that is the same on every machine."""
    found: list[_Source] = []
    for name in sorted({_top(each) for each in (*_ROOMS, *modules)}):
        places = _places(name)
        if not places:
            return None
        for place in places:
            for source in _below(name, place):
                found.append(source)
                if len(found) > _MOST_FILES:
                    return None
    return None if sum(each.size for each in found) > _MOST_BYTES else sorted(found)


def _places(module: str) -> list[Path]:
    """The file of a module, or the folders of a package."""
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return []
    if spec is None or module == "__main__":  # which is another one in each process
        return []
    if spec.submodule_search_locations is not None:
        return [Path(place) for place in spec.submodule_search_locations]
    return [Path(spec.origin)] if spec.has_location and spec.origin else []


def _below(module: str, place: Path) -> Iterator[_Source]:
    if place.is_file():
        yield _source(module, place)
        return
    for start in (place / room for room in _ROOMS[module]) if module in _ROOMS else (place,):
        for folder, inside, names in os.walk(start):
            inside[:] = [each for each in inside if each != "__pycache__" and each[0] != "."]
            for name in names:
                path = Path(folder, name)
                if path.suffix in _CODE:
                    yield _source(f"{module}/{path.relative_to(place).as_posix()}", path)


def _source(name: str, path: Path) -> _Source:
    found = path.stat()
    return _Source(name, str(path), found.st_size, found.st_mtime_ns)


def _digest(sources: Iterable[_Source], version: str) -> str:
    whole = hashlib.sha256(f"{version}\n".encode())
    for source in sources:
        content = hashlib.sha256(Path(source.path).read_bytes()).hexdigest()
        whole.update(f"{content} {source.name}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()
