"""Work that many threads share, whose results come in the order of what was given."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from contextlib import closing
from itertools import chain, islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

THREADS = min(16, 4 + (os.cpu_count() or 1))
AHEAD = 16 * THREADS
_MOST_AT_ONCE = 32
_LOOK_S = 0.1


def in_order(
    work: Callable[[int, T], R],
    given: Iterable[T],
    look: Callable[[], None],
    *,
    ahead: int = AHEAD,
    at_once: int = _MOST_AT_ONCE,
) -> Generator[R]:
    """The results; few are begun at a time, so that an endless source fills no memory.

    Args:
        work: called in a thread with what was given and its place, from 0.
        given: what there is to do; read in this thread.
        look: called now and then, also while no result is ready; what it raises ends it all.
        ahead: how many are begun before the first of them is done.
        at_once: how many a thread is handed at most; 1 of what takes long.
    """
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="cvq-store")
    begun: deque[tuple[Future[list[R]], int]] = deque()
    places = enumerate(given)
    begun_items = done = 0
    try:
        # Few at a time at first, so that all threads have something to do; then more and more, as
        # to hand over one costs as much as many take that are only looked at.
        while some := list(islice(places, min(at_once, 1 + done // (4 * THREADS)))):
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
    work: Callable[[int, T], R],
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
        quick_s: how long one may take; a single one that takes longer is forgiven.
        is_quick: whether it seems so beforehand.
    """
    places: Iterator[tuple[int, T]] = enumerate(given)
    mean = 0.0
    for place, each in places:
        if not is_quick(each) or mean > quick_s:
            places = chain([(place, each)], places)
            break
        began = time.perf_counter()
        result = work(place, each)
        took = time.perf_counter() - began
        mean = took if place == 0 else mean + (took - mean) / 8
        yield result
        look()
    rest = in_order(lambda _, numbered: work(*numbered), places, look, ahead=ahead, at_once=1)
    with closing(rest):
        yield from rest


def _each(work: Callable[[int, T], R], given: Iterable[tuple[int, T]]) -> list[R]:
    return [work(place, each) for place, each in given]


def _result(future: Future[list[R]], look: Callable[[], None]) -> list[R]:
    while True:
        try:
            return future.result(_LOOK_S)
        except NotYetError:
            if future.done():  # it was its own
                raise
            look()
