"""What a worker can run, found when it starts: see `cvq.matching`."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from packaging.requirements import Requirement

from cvq.kinds import find_kinds
from cvq.kinds.kind import Kind
from cvq.settings import Settings

log = logging.getLogger("cvq.worker")


def kinds_here(settings: Settings) -> tuple[dict[str, Kind], dict[str, str]]:
    """As `find_kinds`: those that can be loaded, and what is wrong with each other plug-in.

    Those that the settings leave to others are not among them.
    """
    # In a thread of its own: what a plug-in raises there is never taken for Ctrl-C.
    with ThreadPoolExecutor(1) as pool:
        kinds, broken = pool.submit(find_kinds, settings).result()
    left = frozenset(settings.leave_kinds)
    return {name: kind for name, kind in kinds.items() if name not in left}, broken


def announcement(kinds: Mapping[str, Kind], broken: Mapping[str, str]) -> dict[str, Any]:
    """The kinds that there are here, what each lacks, and the plug-ins that cannot be loaded."""
    for what, error in broken.items():
        log.warning("%s cannot be loaded, and its jobs are left to others: %s", what, error)
    known = {}
    for name, kind in kinds.items():
        missing = _missing(kind)
        known[name] = {"fields": _fields(kind), "missing": missing}
        if missing:
            log.warning("%s jobs are left to others: not installed: %s", name, ", ".join(missing))
    return {"kinds": known, "broken": dict(broken)}


def _fields(kind: Kind) -> list[str] | None:
    """The fields that a kind knows, or None where it takes any."""
    if kind.spec.model_config.get("extra") != "forbid":
        return None
    return sorted(kind.spec.model_fields)


def _missing(kind: Kind) -> list[str]:
    """What a kind needs and is not installed: its code, and the packages of its extra."""
    module = (kind.run or kind.inference or "").partition(":")[0].partition(".")[0]
    code = [] if _is_importable(module) else [module]
    return code + ([] if kind.extra is None else _missing_of_extra(kind.extra))


def _is_importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _missing_of_extra(extra: str) -> list[str]:
    """The packages of one of cvq's extras that are not installed."""
    missing = []
    for text in importlib.metadata.requires("cvq") or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or not marker.evaluate({"extra": extra}) or marker.evaluate():
            continue
        try:
            importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(requirement.name)
    return missing
