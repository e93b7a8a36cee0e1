"""Long work in stages: a bar for each, and Ctrl-C between two of its pieces."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .bars import counting_bar
from .interrupts import Interrupts
from .output import on_terminal

_SOON_S = 0.5  # what is done by then needs no bar

Tell = Callable[[str, int, int], None]
"""Told what goes on, how much is done, and of how much; raises what has arrived meanwhile."""


@contextmanager
def in_stages() -> Iterator[Tell]:
    """Give what is to be told how far the work is."""
    bar = counting_bar(beside=48)
    shows = on_terminal(err=True)
    began = time.monotonic()
    stage = ""
    with Interrupts() as interrupts:

        def tell(what: str, done: int, total: int) -> None:
            nonlocal stage
            interrupts.check()
            if not shows or time.monotonic() - began < _SOON_S:
                return
            if what != stage:
                bar.start()
                for task in bar.task_ids:
                    bar.remove_task(task)
                bar.add_task(what, total=total)
                stage = what
            bar.update(bar.task_ids[0], completed=done, total=total)

        try:
            yield tell
        finally:
            if bar.tasks:
                bar.stop()
