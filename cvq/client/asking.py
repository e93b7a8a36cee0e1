"""What a client asks of the history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from .. import queries
from ..batch_handle import BatchHandle
from ..errors import UsageError
from ..handle import JobHandle, JobLike, id_of
from ..job_list import JobList
from ..records import Artifact, Job
from ..views import filters, shapes
from ..views.compare import Comparison, compare
from .connections import Connections

if TYPE_CHECKING:
    from ..views.stats import Stats


_NO_FILTER = ("self", "query", "after")  # of the arguments of `jobs`


class Asked(TypedDict, total=False):
    """What jobs are asked by; see `Client.jobs`."""

    kind: str | Sequence[str]
    state: str | Sequence[str]
    reason: str | Sequence[str]
    user: str | Sequence[str]
    name: str | Sequence[str]
    worker: str | Sequence[str]
    queue: str | Sequence[str]
    batch: int | Sequence[int]
    sweep: int | Sequence[int]
    tag: str | Sequence[str] | Mapping[str, str]
    where: str | Sequence[str]
    since: datetime | str | None
    until: datetime | str | None
    trashed: bool
    sort: str | None
    limit: int | None


class Asking(Connections):
    """Jobs by their ids and by what they have in common, and what belongs to them."""

    def job(self, job: JobLike) -> JobHandle:
        """An existing job, as it is now.

        Raises:
            UnknownJobError: there is no such job.
        """
        return self._handle(id_of(job)).refresh()

    def batch(self, number: int) -> BatchHandle:
        """An existing batch.

        Raises:
            UnknownBatchError: there is no such batch.
        """
        return self._batch_handle(number).refresh()

    def jobs(
        self,
        query: str | None = None,
        /,
        *,
        kind: str | Sequence[str] = (),
        state: str | Sequence[str] = (),
        reason: str | Sequence[str] = (),
        user: str | Sequence[str] = (),
        name: str | Sequence[str] = (),
        worker: str | Sequence[str] = (),
        queue: str | Sequence[str] = (),
        batch: int | Sequence[int] = (),
        sweep: int | Sequence[int] = (),
        tag: str | Sequence[str] | Mapping[str, str] = (),
        where: str | Sequence[str] = (),
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        trashed: bool = False,
        sort: str | None = None,
        limit: int | None = None,
        after: JobLike | None = None,
    ) -> JobList:
        """Jobs of the history, the newest first, by a query, by what they have, or both.

            client.jobs("val_loss < 100 and params.lr < 0.01", kind="vae", sort="val_loss")

        With a limit it is a page of them, and `JobList.next` gives the one that follows.

        Args:
            query: as of `cvq ls --where`: conditions on columns, metrics, parameters, tags and
                results, with `and`, `or`, `not` and parentheses.
            kind: one kind or several, as all that follow until `sweep`.
            state: waiting, queued, running, succeeded, failed or cancelled.
            reason: why they are in that state: `oom`, `error`.
            user: who submitted them.
            name: patterns with `*` and `?` that their name is like.
            worker: of their last attempt.
            queue: that they are on.
            batch: the id of a batch that they are of.
            sweep: the id of a sweep that they are of.
            tag: `key`, `key=value`, several of these, or a dictionary.
            where: a query, or several, all of which have to hold.
            since: submitted since then; an aware time, or as on the command line: `2d`.
            until: submitted before.
            trashed: those in the trash as well.
            sort: a column, metric or parameter; with `-` before it, the highest first.
            limit: at most so many.
            after: those alone that come after this job in the order, as it stands now.

        Raises:
            UsageError: a condition cannot be read, or a name in it is one that nothing has.
            UnknownJobError: there is no such job as `after`.
        """
        # All that was given by name.
        given = {name: value for name, value in locals().items() if name not in _NO_FILTER}
        wanted = self._filter(query, given)
        if after is None:
            return self._page(wanted, None)
        with self.db.read() as connection:
            place = filters.place_of(connection, wanted, id_of(after))
        return self._page(wanted, place)

    def _page(self, wanted: filters.Filter, after: str | None) -> JobList:
        """Some jobs, and how to go on where there are more."""
        with self.db.read() as connection:
            found = filters.page(connection, wanted, after)
        handles = (self._handle(job.id, job) for job in found.jobs)
        more = None if found.after is None else partial(self._page, wanted, found.after)
        return JobList(self._client, handles, more)

    def iter_jobs(
        self, query: str | None = None, /, **asked: Unpack[Asked]
    ) -> Iterator[JobHandle]:
        """The same jobs one after another: however many they are, few are in memory.

        They are read 500 at a time, each part on a connection of its own. One that is submitted
        meanwhile comes where the order has a place for it.

        Args:
            query: as for `jobs`.
            asked: as for `jobs`.

        Raises:
            UsageError: as for `jobs`.
        """
        pages = filters.pages(self.db.read, self._filter(query, asked))
        return (self._handle(job.id, job) for page in pages for job in page)

    def count_jobs(self, query: str | None = None, /, **asked: Unpack[Asked]) -> int:
        """How many jobs `jobs` would give without a limit; it loads none of them.

        Raises:
            UsageError: as for `jobs`.
        """
        wanted = self._filter(query, asked)
        with self.db.read() as connection:
            return filters.count(connection, wanted)

    def compare(self, *jobs: JobLike) -> Comparison:
        """Jobs side by side: parameters, metrics, results and where they ran; see `cvq compare`.

            client.compare(3, 5).differing

        Args:
            jobs: two or more, of any kinds.

        Raises:
            UsageError: there are fewer than two.
            UnknownJobError: one of them is not there.
        """
        ids = list(dict.fromkeys(map(id_of, jobs)))
        if len(ids) < 2:
            raise UsageError("it takes two jobs to compare")
        with self.db.read() as connection:
            return compare(connection, ids)

    def _filter(self, query: str | None, asked: Mapping[str, Any]) -> filters.Filter:
        where = asked.get("where", ())
        several = [where] if isinstance(where, str) else [*where]
        if query is not None:
            several.insert(0, query)
        wanted = filters.asked(**{**asked, "where": several})
        self.check_filter(wanted)
        return wanted

    def stats(self, by: str | Sequence[str] = "kind", **wanted: Unpack[Asked]) -> Stats:
        """Counts, waiting and run times, success and GPU-hours, by some columns.

            client.stats("user", since="30d").total.gpu_hours

        Args:
            by: one or several of kind, user, day, state, reason, queue, worker, host and device.
            wanted: which jobs count, as for `jobs`; its `sort` is by a column or a figure.

        Raises:
            UsageError: a column or a condition cannot be read, or a name in it is one that
                nothing has.
        """
        from ..views.stats import stats

        sort = wanted.pop("sort", None)
        asked = filters.asked(**wanted)
        self.check_filter(asked)
        with self.db.read() as connection:
            return stats(connection, asked, [by] if isinstance(by, str) else by, sort=sort)

    def artifacts_of(self, job: JobLike) -> list[Artifact]:
        """The files that a job has left so far."""
        wanted = id_of(job)
        with self.db.read() as connection:
            return queries.artifacts_of(connection, [wanted])[wanted]

    def to_json(self, job: Job | JobHandle) -> dict[str, Any]:
        """A job in the documented JSON shape."""
        row = job.job if isinstance(job, JobHandle) else job
        return shapes.job(row, self.artifacts_of(row))
