"""What `--debug` shows: the traceback of what went wrong, also where that stops nothing."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import click

from .output import note


def trace() -> None:
    """The traceback of the error that is being handled, on stderr."""
    for line in traceback.format_exc().splitlines():
        note(line)


@contextmanager
def spared() -> Iterator[None]:
    """Whatever goes wrong inside stops nothing: it is beside what the command is for."""
    try:
        yield
    except Exception:
        context = click.get_current_context(silent=True)
        if context is not None and (context.find_root().obj or {}).get("debug"):
            trace()
