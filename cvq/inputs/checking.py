"""The inputs of a job at submission: checked first, stored then.

Pictures are decoded once, data sets are found by name or packed into a zip, and the job that a
model comes from is looked up.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .. import datasets, parse, queries
from ..artifacts import ArtifactStore
from ..db import Database
from ..errors import (
    InvalidInputError,
    SetupError,
    UnknownKindError,
    UsageError,
)
from ..kinds import get_kind, offering
from ..kinds.spec import (
    DataSource,
    ImageFile,
    InputFile,
    ModelFile,
    ModelOf,
    PipelineFile,
    Spec,
)
from ..kinds.training import ImageTrainingSpec
from ..records import Job
from ..settings import Settings
from ..states import State
from ..text import one_line
from .addresses import shown
from .images import check_image
from .pipelines import check_pipeline, read_pipeline


@contextmanager
def scratch_for(spec: Spec) -> Iterator[Path | None]:
    """A folder for what is fetched, which is gone after the block; None where nothing is."""
    if not any(file.address for file in spec.inputs()):
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="cvq-fetched-") as folder:
        yield Path(folder)


def check_inputs(
    spec: Spec,
    settings: Settings,
    database: Callable[[], Database],
    *,
    scratch: Path | None = None,
    download: bool = False,
) -> list[int]:
    """Check every input, and fill in where data sets lie and which job a model comes from.

    Args:
        spec: the specification.
        settings: where to look for data sets, whose jobs `@` means, how large a picture may be.
        database: asked only where a model is needed.
        scratch: a folder for pictures that are given by their addresses.
        download: fetch a known data set that is not on this machine.

    Returns:
        the jobs that must end first, because their models are used.

    Raises:
        UsageError: an input is wrong; the message says which and why.
        SetupError: a data set is not here, or cannot be fetched.
    """
    waiting = []
    for number, file in enumerate(spec.inputs()):
        if file.address is not None:
            assert scratch is not None
            _fetch(file, file.address, scratch / str(number), settings)
        elif isinstance(file, ModelFile):
            waiting += _find_model(file, _offer_of(spec, file), settings, database())
        elif isinstance(file, DataSource):
            _find_data(file, spec, settings, download=download)
        elif file.path is None:
            raise UsageError(f"input '{file.name}': give the path of a file")
        elif isinstance(file, PipelineFile):
            if isinstance(spec, ImageTrainingSpec):
                check_pipeline(file.path, spec.picture)
            else:
                read_pipeline(file.path)
        elif isinstance(file, ImageFile):
            check_image(file.path, settings.max_pixels)
        elif not _is_file(file.path):
            raise InvalidInputError(f"{file.path} is not a file that can be read")
    return waiting


def store_inputs(
    spec: Spec, artifacts: ArtifactStore, progress: datasets.Progress | None = None
) -> None:
    """Bring the checked inputs into the store, folders as a zip; fills in SHA-256 and bytes.

    Raises:
        StoreError: the store cannot be written.
        InvalidInputError: a file cannot be read.
    """
    for file in spec.inputs():
        if file.path is None:
            continue
        if file.path.is_dir():
            _store_folder(file, file.path, artifacts, progress)
        else:
            file.sha256, file.bytes = artifacts.put_input(file.path)


def _store_folder(
    file: InputFile, folder: Path, artifacts: ArtifactStore, progress: datasets.Progress | None
) -> None:
    try:
        with tempfile.TemporaryDirectory(prefix="cvq-data-") as scratch:
            packed = datasets.pack(folder, Path(scratch) / "data.zip", progress)
            file.sha256, file.bytes = artifacts.put_input(packed)
    except OSError as error:
        raise SetupError(f"{folder} cannot be packed: {error}") from error


def _fetch(file: InputFile, address: str, target: Path, settings: Settings) -> None:
    if not isinstance(file, ImageFile):
        raise InvalidInputError(
            f"{shown(address)}: only pictures are fetched; download it, and give the file"
        )
    from .fetching import fetch  # 30 ms that few need

    file.path = fetch(address, target)
    check_image(file.path, settings.max_pixels, shown(address))


def _find_data(file: DataSource, spec: Spec, settings: Settings, *, download: bool) -> None:
    if file.path is None:
        raise UsageError(f"data '{file.name}': give a name, a folder or a zip")
    if str(file.path) not in datasets.KNOWN or file.path.exists():
        survey = datasets.check_source(
            file.path,
            labelled=isinstance(spec, ImageTrainingSpec) and spec.labelled,
            hold_out=getattr(spec, "hold_out", ()),
            max_pixels=settings.max_pixels,
        )
        file.name = file.name or file.path.resolve().name
        if survey.notes:
            notes = "; ".join(survey.notes)
            warnings.warn(f"data {file.name}: {survey.summary}; {notes}", stacklevel=4)
        return
    if not datasets.KNOWN[file.name].files:
        file.path = None  # the worker's own
        return
    found = datasets.find(file.name, settings.home)
    if found is None and not download:
        raise SetupError(
            f"data {file.name} is not on this machine: `cvq data fetch {file.name}` downloads it; "
            f"or {datasets.where_to_put(file.name, settings.home)}"
        )
    file.path = found or datasets.fetch(file.name, settings.home)


def _find_model(
    file: ModelFile, offer: str | None, settings: Settings, database: Database
) -> list[int]:
    with database.read() as connection:
        if file.reference is not None:
            first, last, back = parse.reference(file.reference)
            if first != last:
                raise UsageError(f"model {file.reference}: give one job, not a range")
            file.job = (
                first if back is None else queries.last_jobs(connection, settings.user, back)
            )
        if file.job is None:
            raise UsageError("give the job that trained the model: --model JOB")
        job = queries.get_job(connection, file.job)
        model = queries.model_of(connection, job.id)
    file.name = f"model of job {job.id}"
    if offer:
        _check_offer(job, offer, settings)
    if job.state in (State.FAILED, State.CANCELLED):
        raise UsageError(f"job {job.id} was {job.state}: it has left no model")
    if job.state != State.SUCCEEDED:
        return [job.id]
    if model is None:
        raise UsageError(f"job {job.id} has left no model")
    file.sha256, file.bytes = model.sha256, model.bytes
    if job.warnings:
        told = "; ".join(one_line(warning, 500) for warning in job.warnings)
        warnings.warn(f"job {job.id}'s training was warned: {told}", stacklevel=4)
    return []


def _check_offer(job: Job, offer: str, settings: Settings) -> None:
    try:
        offers = get_kind(job.kind, settings).offers
    except UnknownKindError:
        raise UsageError(
            f"job {job.id} is of kind {job.kind}, which is not known here: name the module that "
            "has it in CVQ_KINDS, as for its training"
        ) from None
    if offer not in offers:
        wanted = " or ".join(offering(offer, settings))
        raise UsageError(f"job {job.id} is of kind {job.kind}: a model of {wanted} is needed")


def _offer_of(spec: Spec, file: ModelFile) -> str | None:
    for name, field in type(spec).model_fields.items():
        if getattr(spec, name) is file:
            return next((m.offer for m in field.metadata if isinstance(m, ModelOf)), None)
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file() and os.access(path, os.R_OK)
    except OSError:
        return False
