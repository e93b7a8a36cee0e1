"""The inputs of a job at submission: fetched, checked, stored. Each type of input knows how."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..errors import InvalidInputError, StoreError
from ..settings import Settings

if TYPE_CHECKING:
    from ..artifacts import ArtifactStore
    from ..datasets import Progress
    from ..kinds.spec import Spec
    from .files import InputFile
    from .models import ModelFile


@dataclass(frozen=True)
class InputCheck:
    """What the check of one input has found.

    Attributes:
        file: the input, with what is known of it now.
        waits_for: the job that must end first, because its model is used.
        notes: what whoever submits should know.
    """

    file: InputFile
    waits_for: int | None = None
    notes: tuple[str, ...] = ()


class InputChecks(NamedTuple):
    """What the checks of all inputs have found: the specification with them, jobs, notes."""

    spec: Spec
    waits_for: list[int]
    notes: list[str]


class Models(Protocol):
    """Where models are looked up: among the jobs of a database, or on this machine."""

    def find(self, file: ModelFile, offer: str | None) -> InputCheck:
        """What an input means that names a model.

        Args:
            file: the input.
            offer: what the model must be good for; None: anything.

        Raises:
            UsageError: there is none, or it is of another kind.
        """


@dataclass(frozen=True)
class Submission:
    """For what an input is checked.

    Attributes:
        spec: the whole specification.
        settings: where to look for data sets, whose jobs `@` means, how large a picture may be.
        models: where models are looked up.
    """

    spec: Spec
    settings: Settings
    models: Models

    def marks(self, file: InputFile) -> list[Any]:
        """What the input's field is annotated with, as with `ModelOf`."""
        for name, field in type(self.spec).model_fields.items():
            value = getattr(self.spec, name)
            files = value if isinstance(value, list | tuple) else [value]
            if any(each is file for each in files):
                return field.metadata
        return []


@contextmanager
def fetched_inputs(spec: Spec, settings: Settings, *, download: bool) -> Iterator[Spec]:
    """The specification with its inputs on this machine; what was fetched is gone after the block.

    Args:
        spec: as it was given.
        settings: where data sets lie, how large a picture may be.
        download: fetch a known data set that is not on this machine.

    Raises:
        UsageError: an input cannot be fetched.
        SetupError: a data set cannot be downloaded.
    """
    needed = any(file.address for file in spec.inputs())
    with TemporaryDirectory(prefix="cvq-fetched-") if needed else nullcontext("") as folder:
        yield spec.with_inputs(
            file.fetch(Path(folder) / str(number), settings, download=download)
            for number, file in enumerate(spec.inputs())
        )


def check_inputs(spec: Spec, settings: Settings, models: Models) -> InputChecks:
    """Check every input, and find out which data sets and models are meant. Changes nothing.

    Raises:
        UsageError: an input is wrong; the message says which and why.
        SetupError: a data set is not here.
    """
    submission = Submission(spec, settings, models)
    checked = [file.check(submission) for file in spec.inputs()]
    return InputChecks(
        spec.with_inputs(each.file for each in checked),
        [each.waits_for for each in checked if each.waits_for is not None],
        [*spec.notes(), *(note for each in checked for note in each.notes)],
    )


def store_inputs(spec: Spec, artifacts: ArtifactStore, progress: Progress | None = None) -> Spec:
    """Bring the checked inputs into the store; the specification has their SHA-256 and bytes.

    Args:
        spec: checked.
        artifacts: the store.
        progress: told how many files of a data folder are packed, and of how many.

    Raises:
        StoreError: the store cannot be written.
        InvalidInputError: a file cannot be read.
    """
    return spec.with_inputs(file.store(artifacts, progress) for file in spec.inputs())


def hashed_inputs(spec: Spec) -> Spec | None:
    """The specification as `store_inputs` gives it, with nothing stored; None where one is packed.

    Args:
        spec: checked.

    Raises:
        InvalidInputError: a file cannot be read.
    """
    found = []
    for file in spec.inputs():
        hashed = file.hashed()
        if hashed is None:
            return None
        found.append(hashed)
    return spec.with_inputs(found)


def take_in(
    spec: Spec,
    fields: Callable[[str], bool],
    settings: Settings,
    models: Models,
    artifacts: ArtifactStore | None,
    folder: Path,
    progress: Progress | None = None,
) -> InputChecks:
    """Fetch, check and store the inputs of some fields; the specification has these then.

    Args:
        spec: as it was given.
        fields: whether a field is one of them.
        settings: where data sets lie, how large a picture may be.
        models: where models are looked up.
        artifacts: the store; None: they are checked alone.
        folder: where what is fetched may lie meanwhile; made where it is needed.
        progress: told how many files of a data folder are packed, and of how many.

    Raises:
        UsageError: an input cannot be used, or was changed while it was stored.
        SetupError: one cannot be fetched, or the store cannot be written.
    """
    chosen = {id(file) for name, file in _named_inputs(spec) if fields(name)}
    places = {place for place, file in enumerate(spec.inputs()) if id(file) in chosen}
    checks: list[InputCheck] = []

    def fetch(place: int, file: InputFile) -> InputFile:
        if file.address is not None:
            folder.mkdir(exist_ok=True)
        return file.fetch(folder / f"fetched-{place}", settings, download=True)

    def check(_: int, file: InputFile) -> InputFile:
        checks.append(file.check(submission))
        return checks[-1].file

    spec = _with(spec, places, fetch)
    submission = Submission(spec, settings, models)
    spec = _with(spec, places, check)
    if artifacts is not None:
        spec = _with(spec, places, lambda _, file: _stored(file, artifacts, progress))
    waits_for = [each.waits_for for each in checks if each.waits_for is not None]
    return InputChecks(spec, waits_for, [note for each in checks for note in each.notes])


def _named_inputs(spec: Spec) -> Iterator[tuple[str, Any]]:
    for name in type(spec).model_fields:
        value = getattr(spec, name)
        for each in value if isinstance(value, list | tuple) else [value]:
            yield name, each


def _with(spec: Spec, places: set[int], step: Callable[[int, InputFile], InputFile]) -> Spec:
    files = enumerate(spec.inputs())
    return spec.with_inputs(step(n, file) if n in places else file for n, file in files)


def _stored(file: InputFile, artifacts: ArtifactStore, progress: Progress | None) -> InputFile:
    before = _version(file.path)
    try:
        return file.store(artifacts, progress)
    except StoreError:
        if _version(file.path) == before:
            raise
        raise InvalidInputError(f"{file.path} was changed while it was stored") from None


def _version(path: Path | None) -> tuple[int, int] | None:
    """What is another once somebody has written to a file."""
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns) if found else None
