"""Waiting by looking again and again, with and without an event loop.

A look gives what is seen and how long to sleep before the next one; what waits ends by itself,
raising what it has to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

Looks = Iterator[tuple[T, float]]

POLL_S = 0.15  # between two looks
# A look at many jobs takes a while; it is no more than a tenth of the time.
_LOOKS_SHARE = 10


def pause_after(begun: float) -> float:
    """How long to sleep after a look that began then, by the monotonic clock."""
    return max(POLL_S, _LOOKS_SHARE * (time.monotonic() - begun))


def watch(looks: Looks[T], on_look: Callable[[T], None] | None = None) -> None:
    """Look until the end; `on_look` is told what each look has seen."""
    for seen, pause in looks:
        if on_look is not None:
            on_look(seen)
        time.sleep(pause)


async def watch_async(looks: Looks[T], on_look: Callable[[T], None] | None = None) -> None:
    """The same beside an event loop: each look is in a thread, and `on_look` in the loop's own.

    One that is cancelled leaves nothing behind but the look that it is in the middle of.
    """
    import asyncio  # which takes 40 ms that no command needs

    while (look := await asyncio.to_thread(next, looks, None)) is not None:
        seen, pause = look
        if on_look is not None:
            on_look(seen)
        await asyncio.sleep(pause)


class Deadline:
    """The end of patience: some seconds from now, or never."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._at = None if seconds is None else time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """Whether it has passed."""
        return self._at is not None and time.monotonic() >= self._at

    def pause(self, wanted: float) -> float:
        """So many seconds, or what is left."""
        left = wanted if self._at is None else self._at - time.monotonic()
        return max(0.0, min(wanted, left))
