"""Jobs that were submitted together, in the hands of a Python program."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from . import queries
from .batch import Batch
from .errors import (
    JobCancelledError,
    JobFailedError,
    WaitTimeoutError,
)
from .handle import JobHandle
from .lifecycle import batches, retrying
from .looks import Deadline, Looks, pause_after, watch, watch_async
from .states import State
from .text import exactly
from .views.batch_rows import rows_of_batch

if TYPE_CHECKING:
    from .client import Client

_CHUNK = 500  # jobs that are read at a time


class BatchHandle:
    """One batch: what `Client.submit_many` and `Client.batch` give.

    What it says is of the last look; `refresh()` and `wait()` look anew.

    Attributes:
        known_from: the earlier batches that have answered some of its items; known to whoever has
            submitted it.
    """

    def __init__(self, client: Client, number: int, known_from: Sequence[int] = ()) -> None:
        self.client = client
        self.id = number
        self.known_from = list(known_from)
        self._batch: Batch | None = None

    def __repr__(self) -> str:
        return f"<Batch {self.id}>"

    def _repr_html_(self) -> str | None:
        """How far it is, and its first 50 jobs; None, and so the usual text, where that fails."""
        from .notebook.batches import batch_html

        try:
            return batch_html(self)
        except Exception:  # a notebook's cell shows what it can
            return None

    @property
    def batch(self) -> Batch:
        """The row of the database, and the states of its jobs, as of the last look."""
        if self._batch is None:
            with self.client.db.read() as connection:
                self._batch = queries.get_batch(connection, self.id)
        return self._batch

    @property
    def states(self) -> Mapping[str, int]:
        """How many jobs are in each state that has any."""
        return self.batch.states

    @property
    def jobs(self) -> Iterator[JobHandle]:
        """Its jobs, in the order of the items."""
        with self.client.db.read() as connection:
            ids = queries.ids_of_batch(connection, self.id)
        for start in range(0, len(ids), _CHUNK):
            with self.client.db.read() as connection:
                found = queries.get_jobs(connection, ids[start : start + _CHUNK])
            yield from (JobHandle(self.client, job.id, job) for job in found)

    def refresh(self) -> Self:
        """Look again; return this very batch.

        Raises:
            UnknownBatchError: there is no such batch.
        """
        self._batch = None
        _ = self.batch
        return self

    def wait(
        self,
        timeout: float | None = None,
        *,
        check: bool = True,
        on_look: Callable[[Batch], None] | None = None,
    ) -> Self:
        """Wait for the end of all its jobs; return this very batch.

        Args:
            timeout: seconds; None waits for ever.
            check: raise where a job did not succeed.
            on_look: called with the batch at every look, seven times a second at most.

        Raises:
            WaitTimeoutError: it has not ended in time; it goes on.
            JobFailedError: a job failed.
            JobCancelledError: a job was cancelled, and none failed.
        """
        watch(self._looks(timeout), on_look)
        if check:
            raise_for_states(self.batch)
        return self

    async def wait_async(
        self,
        timeout: float | None = None,
        *,
        check: bool = True,
        on_look: Callable[[Batch], None] | None = None,
    ) -> Self:
        """The same beside an event loop, which goes on: `await batch.wait_async()`."""
        await watch_async(self._looks(timeout), on_look)
        if check:
            raise_for_states(self.batch)
        return self

    def _looks(self, timeout: float | None) -> Looks[Batch]:
        deadline = Deadline(timeout)
        while True:
            begun = time.monotonic()
            batch = self.refresh().batch
            ends = batch.finished or deadline.is_over
            pause = pause_after(begun)
            yield batch, 0.0 if ends else deadline.pause(pause)
            if batch.finished:
                return
            if ends:
                raise WaitTimeoutError(
                    f"batch {self.id} has {batch.done} of {batch.jobs} jobs done after "
                    f"{exactly(timeout)}: it was not cancelled"
                )

    def cancel(self) -> int:
        """Cancel what is unfinished; return how many jobs that were.

        Raises:
            UnknownBatchError: there is no such batch.
        """
        self.refresh()
        with self.client.db.write() as connection:
            number = batches.cancel(connection, self.id, self.client.settings.user)
        self.refresh()
        return number

    def retry(self, *, failed: bool = True, cancelled: bool = False) -> int:
        """Queue again what has failed, or was cancelled; return how many jobs that are.

        They stay the jobs that they are, and their attempts count on. What was refused when it was
        submitted cannot be tried again.

        Raises:
            UnknownBatchError: there is no such batch.
        """
        self.refresh()
        wanted = [State.FAILED] * failed + [State.CANCELLED] * cancelled
        user = self.client.settings.user
        with self.client.db.write() as connection:
            again = retrying.retry_batch(connection, self.id, wanted, user)
        self.refresh()
        notify_all(self.client, again, f"batch {self.id}")
        return len(again)

    def results(self) -> Iterator[dict[str, Any]]:
        """A row for each item, in order: see `cvq.views.batch_rows`.

        Raises:
            UnknownBatchError: there is no such batch.
        """
        self.refresh()
        return rows_of_batch(self.client.db, self.client.artifacts, self.id)


def notify_all(client: Client, queues: Mapping[int, str], what: str) -> None:
    """Wake slots for jobs that are queued again.

    Args:
        client: which notifies.
        queues: of the jobs, by their ids.
        what: what they are called where Redis is away.
    """
    for queue, number in Counter(queues.values()).items():
        client.notify(queue, what, number)


def raise_for_states(batch: Batch) -> None:
    """Raise what tells of a batch that has ended, and not well.

    Raises:
        JobFailedError: a job failed.
        JobCancelledError: a job was cancelled, and none failed.
    """
    if batch.failed:
        raise JobFailedError(
            f"batch {batch.id}: {batch.failed} of {batch.jobs} jobs failed: "
            f"`cvq ls --batch {batch.id} --state failed` lists them"
        )
    if cancelled := batch.states.get(State.CANCELLED):
        raise JobCancelledError(
            f"batch {batch.id}: {cancelled} of {batch.jobs} jobs were cancelled"
        )
