"""What earlier batches of the same kind, model and parameters have answered, item by item.

Their manifests say which content was answered where: an item of a content that has an answer needs
no job. What failed, was cancelled or has not ended is no answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import NamedTuple, TypeVar

from . import queries
from .batch import Batch
from .errors import CvqError, MissingExtraError, StoreError
from .inputs.contents import UnreadableError, digest
from .inputs.items import Item
from .manifests import Entry, Found, Manifest, ManifestError
from .row_names import FAILED, FEW, ROWS_IN
from .states import State
from .views.answers import Answers

T = TypeVar("T")

MOST_BATCHES = 10  # that are looked into, the newest


class Answer(NamedTuple):
    """Where an item is answered already.

    Attributes:
        job: the id of the job.
        row: of its answers; None where all of them are the item's.
        batch: the id of the batch that knows of it.
    """

    job: int
    row: int | None
    batch: int


class Seen(NamedTuple):
    """An item that was looked up, and its answer where there is one."""

    item: Item
    entry: Entry
    answer: Answer | None


_UNKNOWN = (None, None)


class Known:
    """Answers of earlier batches. Its methods are for any thread.

    Args:
        batches: what opens them, by their ids, the newest first; called when one is needed.
        note: told of those whose answers cannot be used, and why.
    """

    def __init__(
        self,
        batches: Mapping[int, Callable[[], _Earlier]] | None = None,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._batches = dict(batches or {})
        self._opened: dict[int, _Earlier] = {}
        self._note = note
        self._lock = threading.Lock()

    @property
    def empty(self) -> bool:
        """Whether there are none, so that nothing needs to be read to be looked up."""
        return not self._batches

    def look_up(self, nth: int, item: Item) -> Seen:
        """Find out whether an item is known: one that has changed, or may have, is read."""
        [seen] = self.look_up_all([(nth, item)])
        return seen

    def look_up_all(self, items: Sequence[tuple[int, Item]]) -> list[Seen]:
        """The same for several, with less ado."""
        entries = [item.entry(nth) for nth, item in items]
        with self._lock:
            known = self._unchanged(entries)
        seen = []
        for (nth, item), entry in zip(items, entries, strict=True):
            sha256, answer = known.get(nth, _UNKNOWN)
            found = Seen(item, Entry(*entry[:4], sha256), answer)
            seen.append(found if answer is not None or self.empty else self._read(found))
        return seen

    def alike(self, sha256: bytes) -> Answer | None:
        """Where this content is answered."""
        with self._lock:
            answers = self._told(lambda batch: batch.alike(sha256))
            return next((answer for answer in answers if answer is not None), None)

    def _unchanged(
        self, entries: Sequence[Entry]
    ) -> dict[int, tuple[bytes | None, Answer | None]]:
        """The digests and the answers of files that are as they were, by their number."""
        known: dict[int, tuple[bytes | None, Answer | None]] = {}
        left = {each.nth: each for each in entries if each.place and each.stamp is not None}
        if not left:
            return known
        for found in self._told(lambda batch: list(batch.unchanged(list(left.values())))):
            for nth, sha256, answer in found:
                if answer is not None or nth not in known:
                    known[nth] = sha256, answer
                if answer is not None:
                    del left[nth]
            if not left:
                break
        return known

    def _told(self, ask: Callable[[_Earlier], T]) -> Iterator[T]:
        """What each batch says; one that cannot be read is asked no more."""
        for number, opened in tuple(self._batches.items()):
            try:
                if number not in self._opened:
                    self._opened[number] = opened()
                told = ask(self._opened[number])
            except (ManifestError, StoreError) as error:
                del self._batches[number]
                self._note(f"what batch {number} has answered is computed anew: {error}")
            else:
                yield told

    def _read(self, seen: Seen) -> Seen:
        entry = seen.entry
        if entry.sha256 is None:
            try:
                read = seen.item.read() if seen.item.error is None else None
            except (UnreadableError, CvqError):  # said where it is taken in
                return seen
            if read is None:
                return seen
            entry = entry._replace(sha256=digest(read[0]), stamp=read[1])
        assert entry.sha256 is not None
        return seen._replace(entry=entry, answer=self.alike(entry.sha256))


class _Earlier:
    """The answers of one batch."""

    def __init__(
        self,
        batch_id: int,
        manifest: Manifest,
        jobs: Sequence[int | None],
        others: Container[int],
        failures: _Failures,
    ) -> None:
        """Args:
        batch_id: which it is.
        manifest: its manifest.
        jobs: the ids of its jobs, in order; None for those that have not succeeded.
        others: the jobs of batches before it that answer its items.
        failures: which of its jobs' rows are no answers.
        """
        self._id, self._manifest, self._jobs = batch_id, manifest, jobs
        self._others, self._failures = others, failures

    def unchanged(
        self, entries: Sequence[Entry]
    ) -> Iterator[tuple[int, bytes | None, Answer | None]]:
        """What files held that have not changed, and their answers, by their number."""
        for nth, found in self._manifest.unchanged(entries):
            yield nth, found.sha256, self._answer(found)

    def alike(self, sha256: bytes) -> Answer | None:
        """An answer to the same content."""
        answers = map(self._answer, self._manifest.alike(sha256))
        return next((answer for answer in answers if answer is not None), None)

    def _answer(self, found: Found) -> Answer | None:
        if found.error is not None:
            return None
        if found.earlier is not None:
            there = found.earlier in self._others
            return Answer(found.earlier, found.row, self._id) if there else None
        job = None if found.job is None else self._jobs[found.job]
        if job is None or self._failures.among(job, found.row):
            return None
        return Answer(job, found.row, self._id)


@contextmanager
def open_known(answers: Answers, cache_key: str, note: Callable[[str], None]) -> Iterator[Known]:
    """What is known under a key.

    Args:
        answers: of all batches.
        cache_key: of the batch that is to be submitted.
        note: told which answers cannot be used, and why.
    """
    with answers.database.read() as connection:
        batches = queries.batches_with_manifest(connection, cache_key, MOST_BATCHES)
    with ExitStack() as stack:

        def opened(batch: Batch) -> _Earlier:
            manifest = stack.enter_context(answers.manifest(batch))
            return _earlier(batch, manifest, answers, note)

        yield Known({batch.id: partial(opened, batch) for batch in batches}, note)


def _earlier(
    batch: Batch, manifest: Manifest, answers: Answers, note: Callable[[str], None]
) -> _Earlier:
    with answers.database.read() as connection:
        jobs = queries.ids_and_states(connection, batch.id)
        # One item's answer may call any number of its own so.
        several = None if batch.new > batch.jobs else (ROWS_IN, FEW)
        failing = queries.ids_with_figure(connection, batch.id, FAILED, several)
        others = queries.succeeded_among(connection, manifest.earlier())
    if len(jobs) != batch.jobs:
        raise ManifestError("some of its jobs are gone")
    good = [job if state == State.SUCCEEDED else None for job, state in jobs]
    return _Earlier(batch.id, manifest, good, others, _Failures(failing, answers, note))


class _Failures:
    """Which rows of a batch's jobs are no answers.

    Args:
        failing: the jobs that have such rows.
        answers: where they are told from the others.
        note: told of a job whose rows cannot be.
    """

    def __init__(
        self, failing: Container[int], answers: Answers, note: Callable[[str], None]
    ) -> None:
        self._failing, self._answers, self._note = failing, answers, note
        self._rows: dict[int, Container[int] | None] = {}

    def among(self, job: int, row: int | None) -> bool:
        """Whether a row is one; without a number, whether one of the job's is."""
        if job not in self._failing or row is None:
            return job in self._failing
        if job not in self._rows:
            self._rows[job] = self._read(job)
        rows = self._rows[job]
        return rows is None or row in rows

    def _read(self, job: int) -> Container[int] | None:
        try:
            return self._answers.failed_rows(job)
        except (StoreError, MissingExtraError) as error:
            self._note(f"what job {job} has answered is computed anew: {error}")
            return None
