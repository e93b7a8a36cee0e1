"""What a client can tell of work that was done before: whose result a submission would share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..checks import JobOptions
from ..handle import JobLike, id_of
from ..identity import identities
from ..inputs.models import ModelFile
from ..inputs.submission import check_inputs, fetched_inputs, hashed_inputs
from ..kinds import get_kind, make_spec
from ..kinds.code import code_of
from ..lifecycle import twins
from ..lifecycle.twins import Twin
from ..views.models import JobModels
from .connections import several
from .submitting import Submitting, with_ids

if TYPE_CHECKING:
    from ..kinds.kind import Kind
    from ..kinds.spec import Spec


class Sharing(Submitting):
    """Jobs that do the same, looked for before one is submitted."""

    def twin(
        self,
        kind: str,
        *,
        priority: int = 5,
        after: JobLike | Iterable[JobLike] = (),
        gpu: bool | None = None,
        queue: str | None = None,
        **values: Any,
    ) -> Twin | None:
        """The job whose result a job would have, were it submitted now; nothing is stored.

            told = client.twin("classify", images="shoe.png", model=42)
            told.root, told.is_done

        None where there is none, and where it cannot be told without packing or fetching: of a
        folder, which goes into the store as an archive, and of what is given by an address.

        Args:
            kind: the job kind.
            priority, after, gpu, queue: as for `submit`.
            values: the fields of the kind's specification.

        Raises:
            UsageError: a value, name or file is wrong.
        """
        found = get_kind(kind, self.settings)
        spec = make_spec(found, with_ids(values))
        waited = [id_of(job) for job in several(after)]
        options = JobOptions(priority=priority, after=waited, gpu=gpu, queue=queue)
        with fetched_inputs(spec, self.settings, download=False) as fetched:
            models = JobModels(self.settings, lambda: self.db)
            return self.twin_of(found, check_inputs(fetched, self.settings, models).spec, options)

    def twin_of(self, kind: Kind, spec: Spec, options: JobOptions) -> Twin | None:
        """The same of a specification that was checked.

        Raises:
            InvalidInputError: a file cannot be read any more.
        """
        code = code_of(kind) if kind.cache else None
        hashed = None if code is None else hashed_inputs(spec)
        if hashed is None:
            return None
        trainers = (file.job for file in hashed.inputs() if isinstance(file, ModelFile))
        job = options.job(
            kind, hashed.model_dump(mode="json"), self.settings.user,
            [each for each in trainers if each is not None],
        )  # fmt: skip
        with self.db.read() as connection:
            alike = identities(connection, kind, hashed, code, job.device)
            wanted = twins.Wanted(alike, code, job.queue, job.priority, job.after)
            return twins.look(connection, wanted)
