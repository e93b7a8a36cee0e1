"""What a client does again: a job with other settings, or the same one, to compare."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from .. import again, queries
from ..checks import JobOptions
from ..handle import JobHandle, JobLike, id_of
from ..inputs.submission import InputChecks
from ..kinds import get_kind, make_spec
from ..kinds.code import code_of
from ..kinds.kind import Kind
from ..kinds.spec import Spec
from ..origin import WorkingFolder, origin
from ..proofs.comparison import (
    Comparison,
    check_succeeded,
    compare,
    making_of,
    with_damage,
    with_places,
)
from ..proofs.document import making_in, proof_of
from ..proofs.files import damaged, files_here, with_models_here
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
        return self._submit_stored(
            kind, spec, old.spec, options, made_from=old.id,
            in_batch=old.batch_key is not None,
            cache=bool(settings) if cache is None else cache,
        )  # fmt: skip

    async def rerun_async(self, job: JobLike, **settings: Any) -> JobHandle:
        """`rerun` beside an event loop, as `submit_async` is `submit`."""
        import asyncio

        return await asyncio.to_thread(self.rerun, job, **settings)

    def verify(self, job: JobLike, *, timeout: float | None = None) -> Comparison:
        """Run a job again, and hold what comes of it against what there is.

        Raises:
            UsageError: it has not succeeded, or cannot be run again.
            JobFailedError, JobCancelledError: the new one did not succeed.
            WaitTimeoutError: it has not ended in time; it goes on.
        """
        check_succeeded(self.job(job).job)
        return self.compare_files(job, self.rerun(job, cache=False).wait(timeout))

    async def verify_async(self, job: JobLike, *, timeout: float | None = None) -> Comparison:
        """`verify` beside an event loop; who is cancelled leaves the new job alone."""
        import asyncio

        check_succeeded((await asyncio.to_thread(self.job, job)).job)
        new = await (await self.rerun_async(job, cache=False)).wait_async(timeout)
        return await asyncio.to_thread(self.compare_files, job, new)

    def rerun_proof(
        self, proof: Mapping[str, Any], *, queue: str | None = None, gpu: bool | None = None
    ) -> JobHandle:
        """Submit the job that a proof tells of; `compare_with_proof` says how it came out.

        Args:
            proof: as `proofs.document.read` gives it.
            queue: other than the default.
            gpu: as for `submit`; by default as the job of the proof was.

        Raises:
            UsageError: an input or a model is not here.
        """
        told = proof["job"]
        kind = get_kind(str(told.get("kind")), self.settings)
        with self.db.read() as connection:
            values = with_models_here(connection, told.get("spec"))
        asked = {"gpu": True, "cpu": False}.get(str(told.get("device")))
        options = JobOptions(
            queue=queue, gpu=asked if gpu is None else gpu, name=f"proof of {kind.name}"[:150]
        )
        return self._submit_stored(
            kind, make_spec(kind, values), values, options, cache=False,
            in_batch=bool(told.get("in_batch")),
        )  # fmt: skip

    def compare_with_proof(self, proof: Mapping[str, Any], job: JobLike) -> Comparison:
        """Hold the files of a job against those of a proof.

        Raises:
            UsageError: the job has not succeeded.
        """
        before = making_in(proof)
        with self.db.read() as connection:
            row = queries.get_job(connection, id_of(job))
            check_succeeded(row)
            found = compare(before, making_of(connection, row))
            here = files_here(connection, found)
        after = {file.name: file for file in self.artifacts_of(row)}
        return with_places(found, here, after, self.artifacts)

    def _submit_stored(
        self, kind: Kind, spec: Spec, old: Mapping[str, Any], options: JobOptions, *,
        in_batch: bool, cache: bool, made_from: int | None = None,
    ) -> JobHandle:  # fmt: skip
        """Submit a specification whose inputs are in the store, but for those given anew."""
        with WorkingFolder() as folder:
            trouble = self._broker_trouble()
            checked = self._inputs_again(old, spec)
            said = origin(self.settings.host, code_of(kind), folder)
        spec = checked.spec
        new = options.job(
            kind, spec.model_dump(mode="json"), self.settings.user, checked.waits_for
        )
        key = kind.batch_key(new.spec) if in_batch else None
        new = replace(new, origin=said, made_from=made_from, batch_key=key)
        return self._enter(kind, spec, new, cache=cache and key is None, trouble=trouble)

    def check_rerun(self, job: JobLike, *, options: Mapping[str, Any], **settings: Any) -> Spec:
        """Check everything that `rerun` checks, queue nothing, and return the specification.

        Raises:
            UsageError: a setting is wrong, or an input is in the store no more.
        """
        old, _, spec, _ = self._again(job, options, settings)
        return self._inputs_again(old.spec, spec, dry=True).spec

    def compare_files(self, before: JobLike, after: JobLike) -> Comparison:
        """Hold the files of two jobs against each other, by their SHA-256.

        Those of the earlier are read, too: one that was changed in the store is not the same.

        Raises:
            UsageError: one has not succeeded.
        """
        with self.db.read() as connection:
            rows = [queries.get_job(connection, id_of(each)) for each in (before, after)]
            for row in rows:
                check_succeeded(row)
            makings = [making_of(connection, row) for row in rows]
        one, other = ({file.name: file for file in self.artifacts_of(row)} for row in rows)
        found = with_places(compare(*makings), one, other, self.artifacts)
        return with_damage(found, one, other, self.artifacts)

    def check_files(
        self, job: JobLike, on_file: Callable[[int, int], None] = lambda done, total: None
    ) -> list[str]:
        """Read a job's stored files and inputs; return what is wrong with them, [] for nothing.

        Args:
            job: whose files they are.
            on_file: told how many have been read, and of how many.
        """
        row = self.job(job).job
        return damaged(self.artifacts, self.artifacts_of(row), row.spec, on_file)

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

    def _inputs_again(
        self, old: Mapping[str, Any], spec: Spec, *, dry: bool = False
    ) -> InputChecks:
        models = JobModels(self.settings, lambda: self.db)
        checked = again.stored(spec, old, self.settings, models, self.artifacts, dry=dry)
        for note in checked.notes:
            warnings.warn(note, stacklevel=3)
        return checked
