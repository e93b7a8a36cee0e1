"""What people say of jobs through a client: tags, notes, names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from .. import parse
from ..checks import check_note, check_words
from ..errors import UsageError
from ..handle import JobHandle, JobLike, id_of
from ..lifecycle import describing
from .connections import Connections, several

Tags: TypeAlias = str | Sequence[str] | Mapping[str, str | None]

OnPart: TypeAlias = Callable[[int, int], None]

_CHUNK = 5_000  # jobs of one transaction
_MOST_TAGS = 1_000  # that are listed


class Describing(Connections):
    """Tags, notes and names of jobs that there are; what they do stays as it is."""

    def tag(
        self,
        jobs: JobLike | Iterable[JobLike],
        tags: Tags,
        *,
        on_part: OnPart | None = None,
    ) -> list[int]:
        """Give jobs tags, in the place of those of the same names; return whose have changed.

            client.tag(client.jobs(kind="vae", since="2d"), "for=paper")

        Args:
            jobs: a job or several, in whatever state.
            tags: `key=value`, several of these, or a dictionary, in which None takes a tag away.
            on_part: told how many jobs are done, and of how many. They are changed 5,000 at a
                time, so that workers are not held up; what it raises leaves the rest as it is.

        Raises:
            UnknownJobError: there is no such job; nothing was changed.
            UsageError: a tag cannot be read or stored.
        """
        wanted = _tags(tags)
        if not wanted:
            raise UsageError("which tags? Give key=value")
        check_words(None, "default", {key: value or "" for key, value in wanted.items()})
        return self._in_parts(jobs, partial(describing.tag, tags=wanted), on_part)

    def untag(self, jobs: JobLike | Iterable[JobLike], *keys: str) -> list[int]:
        """Take tags away from jobs; return who had one of them.

        Raises:
            UnknownJobError: there is no such job; nothing was changed.
        """
        return self.tag(jobs, dict.fromkeys(keys))

    def annotate(self, jobs: JobLike | Iterable[JobLike], note: str | None) -> list[int]:
        """Write a note on jobs, in the place of what was there; return whose has changed.

        Args:
            jobs: a job or several.
            note: at most 20,000 characters, of several lines if need be; None takes it away.

        Raises:
            UnknownJobError: there is no such job; nothing was changed.
            UsageError: the note cannot be stored.
        """
        if note is not None:
            check_note(note)
        return self._in_parts(jobs, partial(describing.annotate, note=note), None)

    def _in_parts(
        self,
        jobs: JobLike | Iterable[JobLike],
        change: Callable[..., list[int]],
        on_part: OnPart | None,
    ) -> list[int]:
        ids = sorted({id_of(job) for job in several(jobs)})
        with self.db.read() as connection:
            describing.check_known(connection, ids)
        changed = []
        for start in range(0, len(ids), _CHUNK):
            some = ids[start : start + _CHUNK]
            with self.db.write() as connection:
                changed += change(connection, some, by=self.settings.user)
            if on_part is not None:
                on_part(start + len(some), len(ids))
        return changed

    def rename(self, job: JobLike, name: str | None) -> JobHandle:
        """Give a job another name; None takes it away.

        Raises:
            UnknownJobError: there is no such job.
            UsageError: the name cannot be stored, or the job is of a batch and called after its
                item.
        """
        check_words(name, "default", {})
        with self.db.write() as connection:
            describing.rename(connection, id_of(job), name, self.settings.user)
        return self._handle(job).refresh()

    def tags(self) -> list[tuple[str, str, int]]:
        """The tags in use: key, value, and how many jobs have it; the 1,000 most frequent."""
        with self.db.read() as connection:
            return describing.tags_in_use(connection, _MOST_TAGS)


def _tags(given: Tags) -> dict[str, str | None]:
    if isinstance(given, Mapping):
        return {str(key): None if value is None else str(value) for key, value in given.items()}
    words = [given] if isinstance(given, str) else given
    return dict(parse.tag(text, value_needed=True) for text in words)
