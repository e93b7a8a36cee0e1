"""What a figure was measured on, and a process of its own to measure it in."""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def describe() -> str:
    """One line: processor, cores, Python and the versions that matter."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = ", ".join(f"{name} {_version(name)}" for name in ("torch", "celery", "sqlalchemy"))
    return f"{_processor()}, {cores} cores, Python {platform.python_version()}, {versions}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def apart(function: Callable[..., Any], *given: Any, environment: Mapping[str, str]) -> Any:
    """What a function returns in a new process with an environment.

    glibc and OpenMP read theirs once, when a process starts.
    """
    kept = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.apply(function, given)
    finally:
        os.environ.clear()
        os.environ.update(kept)
