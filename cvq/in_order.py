"""Work that many threads share, whose results come in the order of what was given."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

THREADS = min(16, 4 + (os.cpu_count() or 1))
AHEAD = 16 * THREADS
_LOOK_S = 0.1


def in_order(
    work: Callable[[int, T], R],
    given: Iterable[T],
    look: Callable[[], None],
    *,
    ahead: int = AHEAD,
) -> Iterator[R]:
    """The results; few are begun at a time, so that an endless source fills no memory.

    Args:
        work: called in a thread with what was given and its place, from 0.
        given: what there is to do; read in this thread.
        look: called now and then, also while no result is ready; what it raises ends it all.
        ahead: how many are begun before the first of them is done.
    """
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="cvq-store")
    begun: deque[Future[R]] = deque()
    try:
        for place, each in enumerate(given):
            begun.append(pool.submit(work, place, each))
            look()
            while begun and (begun[0].done() or len(begun) >= ahead):
                yield _result(begun.popleft(), look)
        while begun:
            yield _result(begun.popleft(), look)
    finally:
        pool.shutdown(cancel_futures=True)


def _result(future: Future[R], look: Callable[[], None]) -> R:
    while True:
        try:
            return future.result(_LOOK_S)
        except NotYetError:
            if future.done():  # it was its own
                raise
            look()
