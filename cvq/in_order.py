"""Work that many threads share, whose results come in the order of what was given."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from contextlib import closing
from itertools import chain, islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

THREADS = min(16, 4 + (os.cpu_count() or 1))
AHEAD = 16 * THREADS
QUICK_S = 0.0003  # an item that takes no longer has not waited for a disk
_LOOK_S = 0.1


def in_order(
    work: Callable[[T], R],
    given: Iterable[T],
    look: Callable[[], None],
    *,
    ahead: int = AHEAD,
) -> Generator[R]:
    """The results; few are begun at a time, so that an endless source fills no memory.

    Args:
        work: called in a thread.
        given: what there is to do; read in this thread.
        look: called now and then, also while no result is ready; what it raises ends it all.
        ahead: how many are begun before the first of them is done.
    """
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="cvq-store")
    begun: deque[tuple[Future[list[R]], int]] = deque()
    given = iter(given)
    begun_items = done = 0
    # Few are handed to a thread at a time at first, so that all have something to do; then more,
    # as to hand over one costs as much as many take that are only looked at. Of the most at a
    # time there are still two for each thread.
    most = max(1, ahead // (2 * THREADS))
    try:
        while some := list(islice(given, min(most, 1 + done // (4 * THREADS)))):
            begun.append((pool.submit(_each, work, some), len(some)))
            begun_items += len(some)
            look()
            while begun and (begun[0][0].done() or begun_items - done >= ahead):
                found, number = begun.popleft()
                yield from _result(found, look)
                done += number
        while begun:
            yield from _result(begun.popleft()[0], look)
    finally:
        pool.shutdown(cancel_futures=True)


def here_or_in_order(
    work: Callable[[T], R],
    given: Iterable[T],
    look: Callable[[], None],
    *,
    quick_s: float,
    ahead: int,
    is_quick: Callable[[T], bool] = lambda _: True,
) -> Generator[R]:
    """The same of work in Python: in this thread as long as it is quick, and then in threads.

    Threads that all want the interpreter cost more than they bring, until they wait for a disk.

    Args:
        work, given, look, ahead: as for `in_order`.
        quick_s: how long one may take, in the mean of those so far; the latest weigh most.
        is_quick: whether it seems so beforehand.
    """
    given = iter(given)
    mean: float | None = None
    for each in given:
        if not is_quick(each) or (mean or 0.0) > quick_s:
            given = chain([each], given)
            break
        began = time.perf_counter()
        result = work(each)
        took = time.perf_counter() - began
        mean = took if mean is None else mean + (took - mean) / 8
        yield result
        look()
    with closing(in_order(work, given, look, ahead=ahead)) as rest:
        yield from rest


def _each(work: Callable[[T], R], given: Iterable[T]) -> list[R]:
    return [work(each) for each in given]


def _result(future: Future[list[R]], look: Callable[[], None]) -> list[R]:
    while True:
        try:
            return future.result(_LOOK_S)
        except NotYetError:
            if future.done():  # just now, or the error is the work's own
                return future.result()
            look()
