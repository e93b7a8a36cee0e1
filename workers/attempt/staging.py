"""What a job process needs, brought to this machine before it starts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from cvq import checkpoints
from cvq.artifacts import ArtifactStore
from cvq.devices import Slot
from cvq.errors import CheckpointError, PermanentError, StoreError
from cvq.inputs.files import Staging
from cvq.inputs.models import ModelFile
from cvq.kinds import get_kind, make_spec
from cvq.records import Artifact, Job
from cvq.settings import INSIDE_JOB, Settings

from ..protocol import Request


def stage(
    job: Job,
    slot: Slot,
    folder: Path,
    *,
    settings: Settings,
    artifacts: ArtifactStore,
    saved: Iterable[Artifact],
    model: Callable[[ModelFile], tuple[Path, list[str]]],
) -> Path:
    """Bring a job's inputs and its last good checkpoint here; return the path of its request.

    Args:
        job: the job, claimed.
        slot: where it will run.
        folder: the attempt's own, made anew.
        settings: those of the worker.
        artifacts: the store.
        saved: the job's checkpoints, the newest first.
        model: brings a job's model, and says what is wrong with it.

    Raises:
        PermanentError: the job cannot run here, however often it is tried.
        CvqError: an input or the kind is missing.
    """
    kind = get_kind(job.kind, settings)
    spec = make_spec(kind, job.spec)
    gpu = job.device != "cpu"
    if job.device == "gpu" and slot.kind == "cpu":
        raise PermanentError("the job asks for a GPU, and this worker has none")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "out").mkdir(parents=True)
    cache = settings.home / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    staging = Staging(artifacts, cache, settings.kinds, model)
    inputs = [file.stage(staging) for file in spec.inputs()]
    notes: list[str] = []
    checkpoint = _last_good(job, saved, artifacts, folder, notes)
    request = Request(
        job_id=job.id,
        attempt=job.attempt,
        kind=job.kind,
        spec=job.spec,
        spec_hash=job.spec_hash,
        inputs=inputs,
        folder=str(folder),
        cache=str(cache),
        device=slot.kind if gpu else "cpu",
        threads=slot.threads,
        environment={**slot.environment(gpu=gpu), INSIDE_JOB: str(job.id)},
        kinds=settings.kinds,
        checkpoint=None if checkpoint is None else str(checkpoint),
        checkpoint_every=settings.checkpoint_every,
        max_pixels=settings.max_pixels,
        notes=notes,
        in_batch=job.batch_key is not None,
    )
    job_file = folder / "job.json"
    request.write(job_file)
    return job_file


def _last_good(
    job: Job, saved: Iterable[Artifact], artifacts: ArtifactStore, folder: Path, notes: list[str]
) -> Path | None:
    """The newest checkpoint that the job can resume from; what is wrong with others is noted."""
    for artifact in saved:
        try:
            path = artifacts.fetch_readable(artifact, folder)
            checkpoints.check(path, kind=job.kind, spec_hash=job.spec_hash)
        except (StoreError, CheckpointError) as error:
            notes.append(f"{artifact.name} of attempt {artifact.attempt} is of no use: {error}")
        else:
            return path
    if notes:
        notes.append("no checkpoint is left: the job begins anew")
    return None
