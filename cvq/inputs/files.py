"""Types of inputs: each parses what was given, is fetched, checked, stored and staged by itself.

A type of one's own is a subclass that overrides what it does otherwise: `check` in most cases.
"""

from __future__ import annotations

import builtins
import contextlib
import mimetypes
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from ..errors import InvalidInputError, PermanentError, UsageError
from ..files import sha256_of, why
from .addresses import address_of, name_of, shown
from .submission import InputCheck, Submission

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..artifacts import ArtifactStore
    from ..datasets import Progress
    from ..settings import Settings
    from .models import ModelFile


@dataclass(frozen=True)
class Staging:
    """Where an input is brought to the machine that runs its job.

    Attributes:
        artifacts: the store.
        cache: a folder for copies of inputs.
        kinds: modules with more kinds on this machine.
        model: a model's file here, and what is wrong with the model.
    """

    artifacts: ArtifactStore
    cache: Path
    kinds: list[str]
    model: Callable[[ModelFile], tuple[Path, list[str]]]


class InputFile(BaseModel):
    """A file that a job reads, held in the artifact store under its SHA-256.

    A path (or a string) is accepted where a specification is made by hand; storing the file fills
    in `sha256` and `bytes`. `path` is where the file lies on this machine, `address` where it is
    fetched from; neither is stored.
    """

    model_config = ConfigDict(extra="forbid")

    metavar: ClassVar[str] = "FILE"  # what the command line calls it
    is_path: ClassVar[bool] = True  # whether a path is all that may be given

    name: str
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    bytes: int | None = Field(None, ge=0)
    path: Path | None = Field(None, exclude=True)
    address: str | None = Field(None, exclude=True, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _from_given(cls, value: Any) -> Any:
        return cls._parse(value)

    @classmethod
    def _parse(cls, value: Any) -> Any:
        if value == "":  # which Python takes for the folder one stands in
            raise ValueError("give the path of a file")
        if isinstance(value, str | Path):
            if address := address_of(value):
                return {"name": name_of(address), "address": address}
            path = Path(value)
            with contextlib.suppress(RuntimeError):  # ~name of a user that there is not
                path = path.expanduser()
            # A name that is not UTF-8 cannot be stored; the path keeps it.
            return {"name": path.name.encode("utf-8", "replace").decode(), "path": path}
        if not isinstance(value, dict | InputFile):
            raise ValueError("give the path of a file")
        return value

    @property
    def media_type(self) -> str:
        """The media type that the name suggests."""
        return mimetypes.guess_type(self.name)[0] or "application/octet-stream"

    @property
    def is_named(self) -> bool:
        """Whether its name is enough to give it again, on any machine."""
        return False

    def fetch(self, target: Path, settings: Settings, *, download: bool) -> Self:
        """The same on this machine, where it was given by an address.

        Args:
            target: a path for it.
            settings: where data sets lie, how large a picture may be.
            download: whether data sets may be downloaded.

        Raises:
            InvalidInputError: it cannot be fetched.
        """
        if self.address is not None:
            raise InvalidInputError(
                f"{shown(self.address)}: only pictures are fetched; download it, and give the file"
            )
        return self

    def check(self, submission: Submission) -> InputCheck:
        """Make sure that a job can read it.

        Raises:
            UsageError: it cannot; the message says why.
        """
        if not _is_file(self.given_path):
            raise InvalidInputError(f"{self.path} is not a file that can be read")
        return InputCheck(self)

    def store(self, artifacts: ArtifactStore, progress: Progress | None = None) -> Self:
        """The same with its content in the store.

        Raises:
            StoreError: the store cannot be written.
            InvalidInputError: the file cannot be read.
        """
        return self if self.path is None else self._stored(self.path, artifacts)

    def hashed(self) -> Self | None:
        """The same with its SHA-256 and bytes as `store` gives it, with nothing stored.

        None where that takes more than reading a file: it would be packed, or was fetched, or its
        type has a `store` of its own.

        Raises:
            InvalidInputError: the file cannot be read.
        """
        stores_so = type(self).store is InputFile.store
        return self._hashed() if self.path is None or stores_so else None

    def stage(self, staging: Staging) -> dict[str, Any]:
        """Bring it to the machine that runs its job; what `placed` needs there, as JSON.

        Raises:
            PermanentError: the job cannot have it.
            StoreError: it is not in the store, or damaged.
        """
        if self.sha256:
            return {"path": str(staging.artifacts.fetch_input(self.sha256, staging.cache))}
        if self.path is not None:  # whoever writes a row must not choose what a worker reads
            raise PermanentError(
                f"the input {self.name} is given by a path and not by its content in the store: "
                "submit the job again"
            )
        return {}

    def placed(self, staged: dict[str, Any]) -> Self:
        """The same in the job's process, with what `stage` has found."""
        return type(self).model_validate({**self.model_dump(), **staged})

    @property
    def local_path(self) -> Path:
        """Where it lies on the machine that runs its job.

        Raises:
            PermanentError: it does not.
        """
        if self.path is None:
            raise PermanentError(f"{self.name} is not on this machine")
        return self.path

    def read(self) -> builtins.bytes:
        """Its content, on the machine that runs its job.

        Raises:
            PermanentError: it is not here.
            OSError: it cannot be read.
        """
        return self.local_path.read_bytes()

    @property
    def given_path(self) -> Path:
        """The path that was given.

        Raises:
            UsageError: there is none.
        """
        if self.path is None:
            raise UsageError(f"input '{self.name}': give the path of a file")
        return self.path

    def _hashed(self) -> Self | None:
        if self.path is None:
            return self
        if self.address is not None or self.path.is_dir():
            return None
        try:
            told = {"sha256": sha256_of(self.path), "bytes": self.path.stat().st_size}
        except OSError as error:
            raise InvalidInputError(f"{self.path} cannot be read: {why(error)}") from None
        return self.model_copy(update=told)

    def _stored(self, path: Path, artifacts: ArtifactStore) -> Self:
        digest, size = artifacts.put_input(path)
        return self.model_copy(update={"sha256": digest, "bytes": size})


class ImageFile(InputFile):
    """A picture: checked to be one, whole and within CVQ_MAX_PIXELS, before the job is queued."""

    def fetch(self, target: Path, settings: Settings, *, download: bool) -> Self:
        """The same on this machine, where it was given by an address."""
        if self.address is None:
            return self
        from .fetching import fetch  # 30 ms that few need

        return self.model_copy(update={"path": fetch(self.address, target)})

    def check(self, submission: Submission) -> InputCheck:
        """Decode it once."""
        from ..pictures.images import (
            check_image,  # Pillow, which a kind without pictures need not load
        )

        called = None if self.address is None else shown(self.address)
        check_image(self.given_path, submission.settings.max_pixels, called)
        return InputCheck(self)


class TypedFile(InputFile):
    """A file whose path is kept, so that the command of its job can be typed again.

    `given` is what was typed, where it is more than the name. It is for whoever has typed it:
    nothing that a job leaves, no proof and no export tells it.
    """

    given: str | None = None

    @classmethod
    def _parse(cls, value: Any) -> Any:
        parsed = super()._parse(value)
        if isinstance(value, str | Path) and str(value) != parsed["name"]:
            parsed["given"] = str(value).encode("utf-8", "replace").decode()
        return parsed

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {k: v for k, v in handler(self).items() if k != "given" or v is not None}


class PipelineFile(TypedFile):
    """A pipeline that `albumentations.save` wrote: checked before the job is queued."""

    def check(self, submission: Submission) -> InputCheck:
        """Try it on a picture of the size that the specification says, where it says one."""
        from .pipelines import check_pipeline, read_pipeline

        size = getattr(submission.spec, "picture", None)  # as `ImageTrainingSpec` has it
        if isinstance(size, tuple):
            check_pipeline(self.given_path, size)
        else:
            read_pipeline(self.given_path)
        return InputCheck(self)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file() and os.access(path, os.R_OK)
    except OSError:
        return False
