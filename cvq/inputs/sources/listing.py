"""Listing a source, which may take minutes: whoever waits for it can hear of Ctrl-C meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_LOOK_S = 0.1


def listed(work: Callable[[], T], tick: Callable[[], None]) -> T:
    """What `work` returns or raises; it is done in a thread.

    Args:
        work: lists something.
        tick: called now and then meanwhile. Where it raises, the thread is left behind: it ends by
            itself, or with the process.
    """
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="cvq-list", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_LOOK_S)
        tick()
    if failed:
        raise failed[0]
    return found[0]
