"""What a client does with the past: it prunes, exports, and tells where jobs come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from ..handle import JobLike, id_of
from ..views import filters
from ..views.filters import Filter
from .asking import Asked
from .connections import Connections, several

if TYPE_CHECKING:
    from ..export.reading import Exported
    from ..pruning import OnProgress, Report
    from ..views.graph import Graph


class Cleaning(Connections):
    """Takes jobs out of the history, writes them for other tools, tells where they come from."""

    def prune(
        self,
        jobs: JobLike | Iterable[JobLike] | None = None,
        *,
        older_than: datetime | str | None = None,
        keep_tagged: bool | str = False,
        keep_last: int = 0,
        files: Sequence[str] = (),
        dry_run: bool = False,
        vacuum: bool = False,
        strays: bool = False,
        on_progress: OnProgress = lambda *_: None,
        **asked: Unpack[Asked],
    ) -> Report:
        """Remove jobs that have ended for good, with their rows and files.

            client.prune(older_than="30d", kind="vae", keep_tagged="best", dry_run=True)

        None goes that another uses, and a batch goes as a whole. What has been in the trash for
        the setting `trash_days` goes too, but with `files`; where nothing is given, that alone.

        Args:
            jobs: these alone.
            older_than: only such as have ended before then: an aware time, or `30d`.
            keep_tagged: keep those with this tag, or, for True, with any.
            keep_last: keep the newest so many of those that are meant.
            files: not the jobs, but files of theirs: `checkpoints`, `samples`, `results`.
            dry_run: only count.
            vacuum: give all free room of an SQLite database back, though nobody can write
                meanwhile.
            strays: remove files of the store, too, that no row names; not where another database
                has the same store.
            on_progress: told what goes on, how much is done, and of how much. What it raises ends
                it, and nothing is broken then.
            asked: as for `jobs`, without `limit` and `sort`.

        Returns:
            what was removed, or would be, and how many jobs stay, by the reason.

        Raises:
            UsageError: a condition cannot be read, or no job has a name in it, or the tag that is
                to keep jobs.
            StoreError: the store cannot be written.
        """
        from .. import pruning

        wanted = self._asked(jobs, asked)
        if wanted is None and older_than is not None:
            wanted = Filter()
        choice = pruning.Choice(
            wanted,
            filters.moment_of(older_than),
            "" if keep_tagged is True else keep_tagged or None,
            keep_last,
            files,
            trash_days=self.settings.trash_days,
        )
        if dry_run:
            return pruning.estimate(
                self.db, lambda: self.artifacts, choice, on_progress, strays=strays
            )
        return pruning.prune(
            self.db, lambda: self.artifacts, choice, self.settings.user, on_progress,
            vacuum=vacuum, strays=strays,
        )  # fmt: skip

    def trash(self, jobs: JobLike | Iterable[JobLike]) -> list[int]:
        """Lay jobs in the trash; return those that were not there yet.

        Raises:
            UsageError: one has not ended, or others of its batch are not among them.
        """
        from ..pruning import trash

        found = trash.trashable(self.db, _ids(jobs))
        found.check()
        return trash.trash(self.db, found.jobs, self.settings.user, lambda *_: None)

    def restore(self, jobs: JobLike | Iterable[JobLike]) -> list[int]:
        """Take jobs out of the trash; return those that were there."""
        from ..pruning import trash

        return trash.restore(self.db, _ids(jobs), self.settings.user, lambda *_: None)

    def export(
        self,
        jobs: JobLike | Iterable[JobLike] | None = None,
        *,
        logs: bool = False,
        **asked: Unpack[Asked],
    ) -> Iterator[dict[str, Any]]:
        """Jobs as JSON, one after another: with their files, attempts and curves.

        Args:
            jobs: these alone; all, where nothing is given.
            logs: with what they have written.
            asked: as for `jobs`.
        """
        from ..export.lines import line

        for each in self._exported(jobs, asked):
            yield line(self.db, each, logs=logs)

    def export_to_tensorboard(
        self,
        folder: str | Path,
        jobs: JobLike | Iterable[JobLike] | None = None,
        **asked: Unpack[Asked],
    ) -> list[Path]:
        """Write an event file for each job, in a folder of its own; return the files.

        Raises:
            StoreError: it cannot be written.
        """
        from ..export import tensorboard

        return [tensorboard.write(each, Path(folder)) for each in self._exported(jobs, asked)]

    def export_to_mlflow(
        self,
        uri: str,
        jobs: JobLike | Iterable[JobLike] | None = None,
        *,
        experiment: str | None = None,
        files: bool = False,
        **asked: Unpack[Asked],
    ) -> int:
        """Bring a run of MLflow up to date for each job; return how many were not.

        Args:
            uri: as MLflow takes it.
            jobs: these alone; all, where nothing is given.
            experiment: for all; by default one for each kind.
            files: with the results.
            asked: as for `jobs`.

        Raises:
            MissingExtraError: MLflow is not installed.
            UsageError: it is the database of the jobs.
            SetupError: it cannot be reached.
        """
        from ..export.mlflow import Mlflow

        mlflow = Mlflow(uri, self.db, self.artifacts if files else None, experiment)
        return sum(map(mlflow.write, self._exported(jobs, asked)))

    def graph(self, job: JobLike, depth: int = 4) -> Graph:
        """What a job was made from, and what was made from it.

        Args:
            job: the job.
            depth: how many steps to go, in each direction.

        Raises:
            UnknownJobError: there is no such job.
        """
        from ..views import graph

        with self.db.read() as connection:
            return graph.graph(connection, id_of(job), depth)

    def _exported(
        self, jobs: JobLike | Iterable[JobLike] | None, asked: Asked
    ) -> Iterator[Exported]:
        from ..export import reading

        wanted = self._asked(jobs, asked) or Filter()
        with self.db.read() as connection:
            ids = filters.ids(connection, replace(wanted, sort=wanted.sort or "id"))
        return reading.each(self.db, ids)

    def _asked(self, jobs: JobLike | Iterable[JobLike] | None, asked: Asked) -> Filter | None:
        """The filter that jobs and words mean; None where nothing was given."""
        if jobs is None and not asked:
            return None
        wanted = filters.asked(**asked)
        self.check_filter(wanted)
        if jobs is not None:
            wanted = replace(wanted, ids=_ids(jobs) or [0], trashed=True)
        return wanted


def _ids(jobs: JobLike | Iterable[JobLike]) -> list[int]:
    return [id_of(job) for job in several(jobs)]
