"""A new job from an old one: its values, some of them changed, and its inputs from the store."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, func, select

from . import tables as t
from .checks import LONGEST_NAME, JobOptions
from .errors import InvalidInputError, StoreError, UsageError
from .inputs.files import InputFile
from .inputs.models import ModelFile
from .inputs.submission import InputChecks, Models, take_in
from .kinds import make_spec
from .kinds.spec import files_in
from .leaves import is_file
from .lifecycle.retrying import was_refused
from .records import Job

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from .artifacts import ArtifactStore
    from .kinds.kind import Kind
    from .kinds.spec import Spec
    from .settings import Settings

_MOST_SEED = 2**32


def new_seed() -> int:
    """A seed that nobody has chosen."""
    return secrets.randbelow(_MOST_SEED)


def changed(kind: Kind, job: Job, settings: Mapping[str, Any]) -> Spec:
    """The specification of a job with other settings, its inputs as they were or as given.

    Args:
        kind: of the job.
        job: an old one.
        settings: by the names of fields; `a.b` is b within a.

    Raises:
        UsageError: the job has none that could be used, or a setting is wrong.
    """
    if "spec" in job.damage or was_refused(job):
        why = job.damage.get("spec") or "it was refused when it was submitted"
        raise UsageError(f"job {job.id} cannot be run again: {why}")
    values = deepcopy(job.spec)
    for name, value in settings.items():
        _put(values, kind.spec.full_name(name), value)
    return make_spec(kind, values)


def _put(values: dict[str, Any], name: str, value: Any) -> None:
    """Put a value where its name says."""
    *outer, last = name.replace("-", "_").split(".")
    inside: Any = values
    for part in outer:
        inside = inside.get(part) if isinstance(inside, dict) else None
    if not isinstance(inside, dict) or (outer and is_file(inside)):
        raise UsageError(f"{name}: {'.'.join(outer)} has no values within it")
    inside[last] = value


def word_value(kind: Kind, name: str, word: str) -> Any:
    """What a word of the command line means as the value of a field.

    It is a number, yes or no, a list (with commas, or as JSON), `none`, or a text: whichever the
    field takes. What it does not take is refused with the specification.
    """
    field = kind.spec.model_fields.get(name.replace("-", "_"))
    if field is None:  # within another, or unknown
        return _decoded(word)
    decoded = _decoded(word)
    readings = [decoded, word]
    if _takes_list(field.annotation):
        parts = [part for part in map(str.strip, word.split(",")) if part]
        readings += [[_decoded(part) for part in parts], parts]
    return next((each for each in readings if _fits(field, each)), decoded)


def _decoded(word: str) -> Any:
    if word.lower() in ("none", "null"):
        return None
    try:
        return json.loads(word)
    except (ValueError, RecursionError):
        return word


def _fits(field: FieldInfo, value: Any) -> bool:
    annotation: Any = field.annotation
    if field.metadata:
        annotation = Annotated[(annotation, *field.metadata)]
    try:
        TypeAdapter(annotation).validate_python(value)
    except ValidationError:
        return False
    return True


def _takes_list(annotation: Any) -> bool:
    origin, members = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _takes_list(members[0])
    return origin in (list, tuple) or any(get_origin(each) in (list, tuple) for each in members)


def stored(
    spec: Spec, old: Mapping[str, Any], settings: Settings, models: Models,
    artifacts: ArtifactStore, *, dry: bool = False,
) -> InputChecks:  # fmt: skip
    """The specification with its inputs in the store: those that were given anew, and the others.

    Args:
        spec: as `changed` makes it.
        old: the old job's, as JSON.
        settings: where data sets lie, whose jobs `@` means, how large a picture may be.
        models: where models are looked up.
        artifacts: the store.
        dry: whether nothing is to be stored.

    Raises:
        UsageError: an input cannot be used, or is in the store no more.
        SetupError: the store cannot be read or written.
    """
    is_old = {
        name: _is_old(getattr(spec, name), old.get(name)) for name in type(spec).model_fields
    }
    for name, value in ((name, getattr(spec, name)) for name in is_old):
        for file in files_in(value) if is_old[name] else ():
            _note_use(file, artifacts)
    with TemporaryDirectory(prefix="cvq-again-") as folder:
        target = None if dry else artifacts
        return take_in(spec, lambda name: not is_old[name], settings, models, target, Path(folder))


def _is_old(value: Any, old: Any) -> bool:
    """Whether a field's files are those of the old job; a model is looked up anew."""
    files = list(files_in(value))
    if any(isinstance(file, ModelFile) or _is_given(file) for file in files):
        return False
    return bool(files) and old is not None


def _is_given(file: InputFile) -> bool:
    return file.path is not None or file.address is not None


def _note_use(file: InputFile, artifacts: ArtifactStore) -> None:
    if file.sha256 is None:  # a data set that every worker has
        return
    try:
        artifacts.note_use(file.sha256)
    except StoreError as error:
        raise InvalidInputError(f"the input {file.name} is gone: {error}") from None


def options_of(connection: Connection, job: Job) -> dict[str, Any]:
    """What a job was submitted with besides its specification, as keywords of `JobOptions`."""
    a = t.attempts.c
    stopped = select(func.count()).where(a.job_id == job.id, a.outcome == "stopped")
    # Each attempt that a worker has stopped gave the job another.
    retries = job.max_attempts - 1 - int(connection.scalar(stopped) or 0)
    return {
        "priority": job.priority,
        "name": job.name and job.name[:LONGEST_NAME],  # of an item it may be longer
        "tags": job.tags,
        "retries": min(max(retries, 0), 100),
        "time_limit": job.time_limit,
        "soft_time_limit": job.soft_time_limit,
        "gpu": {"gpu": True, "cpu": False}.get(job.device or ""),
        "queue": job.queue,
    }


def joined(kept: Mapping[str, Any], given: Mapping[str, Any]) -> JobOptions:
    """The old job's options, with those that were given.

    Raises:
        UsageError: one is out of bounds.
    """
    said = {name: value for name, value in given.items() if value is not None}
    if "gpu" in said and "queue" not in said and kept["queue"] in ("default", "gpu"):
        kept = {**kept, "queue": None}  # which follows from what is needed
    return JobOptions(**{**kept, **said})
