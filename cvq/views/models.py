"""Models at submission: which job is meant, whether it will do, and whether it has ended."""

from __future__ import annotations

from collections.abc import Callable

from .. import parse, queries
from ..db import Database
from ..errors import UnknownKindError, UsageError
from ..inputs.models import ModelFile
from ..inputs.submission import InputCheck
from ..kinds import get_kind, offering
from ..records import Job
from ..settings import Settings
from ..states import State
from ..text import one_line
from . import references


class JobModels:
    """Finds models among the jobs of the database.

    Args:
        settings: whose jobs `@` means, and which kinds are known.
        database: asked only where a model is needed.
    """

    def __init__(self, settings: Settings, database: Callable[[], Database]) -> None:
        self._settings, self._database = settings, database

    def find(self, file: ModelFile, offer: str | None) -> InputCheck:
        """The model of the job that an input names; a job that has not ended is waited for.

        Raises:
            UsageError: there is no such job, it leaves no model, or one that does not offer this.
        """
        with self._database().read() as connection:
            number = file.job
            if file.reference is not None:
                reference = parse.reference(file.reference)
                if reference.first != reference.last:
                    raise UsageError(f"model {file.reference}: give one job, not a range")
                number = references.resolve_one(connection, self._settings.user, reference)
            if number is None:
                raise UsageError("give the job that trained the model: --model JOB")
            job = queries.get_job(connection, number)
            model = queries.model_of(connection, job.id)
        if offer:
            self._check_offer(job, offer)
        if job.state in (State.FAILED, State.CANCELLED):
            raise UsageError(f"job {job.id} was {job.state}: it left no model")
        known = {"job": job.id, "name": f"model of job {job.id}"}
        if job.state != State.SUCCEEDED:
            return InputCheck(file.model_copy(update=known), waits_for=job.id)
        if model is None:
            raise UsageError(f"job {job.id} left no model")
        known |= {"sha256": model.sha256, "bytes": model.bytes}
        return InputCheck(file.model_copy(update=known), notes=_warnings(job))

    def _check_offer(self, job: Job, offer: str) -> None:
        try:
            offers = get_kind(job.kind, self._settings).offers
        except UnknownKindError:
            raise UsageError(
                f"job {job.id} is of kind {job.kind}, which is not known here: name the module "
                "that has it in CVQ_KINDS, as for its training"
            ) from None
        if offer not in offers:
            wanted = " or ".join(offering(offer, self._settings))
            raise UsageError(f"job {job.id} is of kind {job.kind}: a model of {wanted} is needed")


def _warnings(job: Job) -> tuple[str, ...]:
    if not job.warnings:
        return ()
    told = "; ".join(one_line(warning, 500) for warning in job.warnings)
    return (f"job {job.id}'s training gave a warning: {told}",)
