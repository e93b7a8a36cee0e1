"""Following a batch to its end: what `watch`, `wait` and `submit --wait` show of it.

A bar on a terminal, lines in a pipe, both on stderr; above or between them the first failures with
their reasons. Where JSON of every change is asked for, that goes to stdout.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from cvq.states import State

from . import batch_table, formats
from .following import Look, view
from .holdups import Holdups
from .interrupts import Interrupts
from .output import dump, hint, note, say
from .pace import Pace

if TYPE_CHECKING:
    from cvq.batch import Batch
    from cvq.batch_handle import BatchHandle
    from cvq.records import Job
    from cvq.views.batch_progress import Progress

_TOLD = 5  # failures
_LOOKED_AT = 50  # failures, of which many may have the same reason


def follow(
    handle: BatchHandle,
    *,
    timeout: float | None,
    quiet: bool = False,
    as_json: bool = False,
    changes: bool = False,
) -> None:
    """Show how far a batch is until its last job has ended, then how its jobs did.

    Args:
        handle: the batch.
        timeout: seconds; None waits for ever.
        quiet: print its id alone, at the end.
        as_json: print it as JSON, at the end.
        changes: print it as a line of JSON whenever it has changed, and nothing at the end.

    Raises:
        WaitTimeoutError: they have not ended in time.
        JobFailedError: a job failed.
        JobCancelledError: a job was cancelled, and none failed.
    """
    from cvq.batch_handle import raise_for_states

    try:
        failed = _look_on(handle, timeout, quiet=quiet, changes=changes).failed
    except KeyboardInterrupt:
        note(f"batch {handle.id} continues: `cvq watch --batch {handle.id}` follows it, "
             f"`cvq cancel --batch {handle.id}` stops it")  # fmt: skip
        raise
    batch = handle.batch
    if changes:
        pass
    elif as_json:
        dump(batch_table.shape(batch))
    elif quiet:
        say(batch.id)
    else:
        parts = [formats.states(batch.states)] if batch.states else []
        parts += [f"{formats.count(failed, 'item')} failed"] if failed else []
        parts += [f"{formats.count(batch.known, 'item')} known"] if batch.known else []
        say(f"batch {batch.id}: {', '.join(parts)}")
        hint(f"`cvq results {batch.id}` prints what came out")
    raise_for_states(batch)


def _look_on(
    handle: BatchHandle, timeout: float | None, *, quiet: bool, changes: bool
) -> Progress:
    """Show every look until the last job has ended; how far the batch is then."""
    from cvq.views.batch_progress import progress_of

    looks: deque[Progress] = deque(maxlen=1)
    shown, pace = view(quiet=quiet, changes=changes), Pace()
    with Interrupts() as interrupts, closing(shown):
        failures, holdups = Failures(handle, shown.say), BatchHoldups(handle, shown.say)
        tellers: list[Callable[[Batch], None]] = [] if quiet else [failures, holdups]

        def look(batch: Batch) -> None:
            interrupts.check()
            with handle.client.db.read() as connection:
                looks.append(progress_of(connection, batch))
            for tell in tellers:
                tell(batch)
            shown.show(_seen(batch, looks[-1], pace))

        handle.wait(timeout, check=False, on_look=look)
    return looks[-1]


class Failures:
    """Says why the first jobs of a batch have failed, each reason once."""

    def __init__(self, handle: BatchHandle, tell: Callable[[str], None]) -> None:
        self._handle, self._tell = handle, tell
        self._failed = 0  # when they were looked at last
        self._told: set[str | None] = set()

    def __call__(self, batch: Batch) -> None:
        """Look at a batch where more of it has failed."""
        if batch.failed == self._failed or len(self._told) > _TOLD:
            return
        self._failed = batch.failed
        for job in _first(self._handle, [State.FAILED], _LOOKED_AT):
            if job.error in self._told:
                continue
            self._told.add(job.error)
            if len(self._told) > _TOLD:
                which = f"`cvq ls --batch {batch.id} --state failed`"
                self._tell(f"… and other failures: {which} lists them")
                return
            self._tell(_failure(job))


def _failure(job: Job) -> str:
    error = formats.cut(formats.one_line(job.error or ""), 300)
    name = formats.title(job)
    which = f"job {job.id}" if not name or name in error else f"job {job.id} ({name})"
    return f"{which} {formats.outcome(job)}: {error}"


class BatchHoldups:
    """Says, once a second, what keeps the first unfinished job of a batch from starting."""

    def __init__(self, handle: BatchHandle, tell: Callable[[str], None] = note) -> None:
        self._handle, self._holdups = (
            handle,
            Holdups(handle.client, tell, busy=False, parents=True),
        )
        self._look_at = 0.0

    def __call__(self, _: Batch) -> None:
        """Look, where it is time to."""
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + 1.0
            for job in _first(self._handle, [State.WAITING, State.QUEUED], 1):
                self._holdups(job)


def first_error(handle: BatchHandle) -> str:
    """Why the first job that failed did, in a few words."""
    first = next(iter(_first(handle, [State.FAILED], 1)), None)
    return formats.cut(formats.one_line((first and first.error) or ""), 120)


def _first(handle: BatchHandle, states: list[State], most: int) -> list[Job]:
    """The first jobs that are in one of some states."""
    from cvq import queries

    with handle.client.db.read() as connection:
        found = queries.ids_of_batch(connection, handle.id, states, most)
        return queries.get_jobs(connection, found)


def _is_idle(batch: Batch) -> bool:
    return not batch.states.get(State.RUNNING)


def _rate(speed: float) -> str:
    """Of items in a second: one that changes all the time needs few digits."""
    return f"{speed:.0f}/s" if speed >= 10 else f"{speed:.2g}/s"


def _counted(batch: Batch, share: float) -> str:
    of_items = f" ({share:.0%})" if batch.new > batch.jobs else ""
    return f"{batch.done}/{batch.jobs}{of_items}"


def _left(batch: Batch, left: float | None) -> str:
    return f"{formats.duration(left)} left" if left and not batch.finished else ""


def _seen(batch: Batch, progress: Progress, pace: Pace) -> Look:
    share = progress.share
    speed, left = pace(share, idle=_is_idle(batch))
    figures = list(filter(None, _figures(batch, progress, speed)))
    counted, rest = _counted(batch, share), _left(batch, left)
    return Look(
        what=f"batch {batch.id}",
        state=batch.state,
        share=share,
        count=counted,
        left=rest,
        figures=lambda _: ", ".join(figures),
        line=", ".join(filter(None, [counted, *figures, rest])),
        json=lambda: batch_table.shape(batch),
    )


def _figures(batch: Batch, progress: Progress, speed: float | None) -> list[str]:
    """How many run and have failed, and how many items are done in a second."""
    running = batch.states.get(State.RUNNING, 0)
    return [
        f"{batch.failed} failed" if batch.failed else "",
        f"{formats.count(progress.failed, 'item')} failed" if progress.failed else "",
        f"{running} running" if running else "",
        _rate(speed * batch.new) if speed and not batch.finished else "",
    ]
