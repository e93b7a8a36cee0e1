"""What a client does again: a job with other settings, or the same one, to compare."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from .. import again, queries
from ..checks import JobOptions
from ..handle import JobHandle, JobLike, id_of
from ..inputs.submission import InputChecks
from ..kinds import get_kind
from ..kinds.code import code_of
from ..kinds.kind import Kind
from ..kinds.spec import Spec
from ..origin import WorkingFolder, origin
from ..proofs.comparison import Comparison, check_succeeded, compare, making_of, with_places
from ..proofs.document import proof_of
from ..records import Job
from ..views.models import JobModels
from .asking import Asking
from .connections import several
from .submitting import Submitting, with_ids


class Rerunning(Submitting, Asking):
    """New jobs from old ones."""

    def rerun(
        self,
        job: JobLike,
        *,
        priority: int | None = None,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        after: JobLike | Iterable[JobLike] = (),
        at: datetime | None = None,
        retries: int | None = None,
        time_limit: float | None = None,
        soft_time_limit: float | None = None,
        gpu: bool | None = None,
        queue: str | None = None,
        cache: bool | None = None,
        **settings: Any,
    ) -> JobHandle:
        """Submit an old job anew, with other settings: `rerun(7, learning_rate=0.01)`.

        Its inputs come from the store, so that no file is needed any more; its seed is the old
        one's, as every value that is not given. The new job's `made_from` is the old one.

        Args:
            job: an old job, in whatever state.
            priority, name, tags, retries, time_limit, soft_time_limit, gpu, queue: as for
                `submit`; those of the old job, where they are not given.
            after, at: as for `submit`; those of the old job have passed.
            cache: whether an equal job's result will do. By default it will where a setting is
                given; the very same job is computed anew.
            settings: fields of the specification; a value within another as `{"a.b": 1}`.

        Raises:
            UsageError: a setting is wrong, or an input is gone from the store; nothing was queued.
            SetupError: the database, Redis or the store fails; nothing was queued.
        """
        given: dict[str, Any] = {
            "priority": priority, "name": name, "tags": tags, "retries": retries, "at": at,
            "time_limit": time_limit, "soft_time_limit": soft_time_limit, "gpu": gpu,
            "queue": queue, "after": [id_of(each) for each in several(after)],
        }  # fmt: skip
        old, kind, spec, options = self._again(job, given, settings)
        with WorkingFolder() as folder:
            trouble = self._broker_trouble()
            checked = self._inputs_again(old, spec)
            code = code_of(kind)
            said = origin(self.settings.host, code, folder)
        spec = checked.spec
        new = options.job(
            kind, spec.model_dump(mode="json"), self.settings.user, checked.waits_for
        )
        key = kind.batch_key(new.spec) if old.batch_key is not None else None
        new = replace(new, origin=said, made_from=old.id, batch_key=key)
        shared = bool(settings) if cache is None else cache
        return self._enter(kind, spec, new, cache=shared and key is None, trouble=trouble)

    def check_rerun(self, job: JobLike, *, options: Mapping[str, Any], **settings: Any) -> Spec:
        """Check everything that `rerun` checks, queue nothing, and return the specification.

        Raises:
            UsageError: a setting is wrong, or an input is in the store no more.
        """
        old, _, spec, _ = self._again(job, options, settings)
        return self._inputs_again(old, spec, dry=True).spec

    def compare_files(self, before: JobLike, after: JobLike) -> Comparison:
        """Hold the files of two jobs against each other, by their SHA-256.

        Raises:
            UsageError: one has not succeeded.
        """
        with self.db.read() as connection:
            rows = [queries.get_job(connection, id_of(each)) for each in (before, after)]
            for row in rows:
                check_succeeded(row)
            makings = [making_of(connection, row) for row in rows]
        found = compare(*makings)
        if not found.differences:
            return found
        one, other = ({file.name: file for file in self.artifacts_of(row)} for row in rows)
        return with_places(found, one, other, self.artifacts)

    def proof(self, job: JobLike, compared: Comparison | None = None) -> dict[str, Any]:
        """What a job was made from and by, and what came of it, as JSON under its own SHA-256.

        Args:
            job: one that has succeeded.
            compared: how it came out when it was run again.

        Raises:
            UsageError: it has not.
        """
        with self.db.read() as connection:
            row = queries.get_job(connection, id_of(job))
            check_succeeded(row)
            return proof_of(connection, row, None if compared is None else compared.to_json())

    def _again(
        self, job: JobLike, given: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> tuple[Job, Kind, Spec, JobOptions]:
        """An old job, its kind, and its specification and options as they are to be now."""
        with self.db.read() as connection:
            old = queries.get_job(connection, id_of(job))
            kept = again.options_of(connection, old)
        kind = get_kind(old.kind, self.settings)
        spec = again.changed(kind, old, with_ids(settings))
        return old, kind, spec, again.joined(kept, given)

    def _inputs_again(self, old: Job, spec: Spec, *, dry: bool = False) -> InputChecks:
        models = JobModels(self.settings, lambda: self.db)
        checked = again.stored(spec, old.spec, self.settings, models, self.artifacts, dry=dry)
        for note in checked.notes:
            warnings.warn(note, stacklevel=3)
        return checked
