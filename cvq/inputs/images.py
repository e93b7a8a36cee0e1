"""Pictures one by one, or many of them in a shard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from ..errors import InvalidInputError, PermanentError
from . import shards
from .files import ImageFile
from .submission import InputCheck, Submission


class ImagesFile(ImageFile):
    """A picture, or a shard: a `.tar` of pictures.

    A picture is decoded before the job is queued. Of a shard it is made sure that it is a whole
    tar and holds files; one that is no picture is a failed row of the job's answer.

    Attributes:
        items: how many files a shard holds, once it was looked at.
    """

    items: int | None = Field(None, ge=1)

    @classmethod
    def _parse(cls, value: Any) -> Any:
        if isinstance(value, ImageFile) and not isinstance(value, ImagesFile):
            return {name: getattr(value, name) for name in ImageFile.model_fields}
        return super()._parse(value)

    @property
    def is_shard(self) -> bool:
        """Whether its name says that it is a `.tar`."""
        return self.name.lower().endswith(shards.ENDING)

    def check(self, submission: Submission) -> InputCheck:
        """Decode a picture once; read the headers of a shard."""
        if not self.is_shard:
            return super().check(submission)
        try:
            found = shards.count(self.given_path)
        except (shards.ShardError, OSError) as error:
            raise InvalidInputError(f"{self.path} {_told(error)}") from None
        if not found:
            raise InvalidInputError(f"{self.path} holds no files: a shard is a .tar of pictures")
        return InputCheck(self.model_copy(update={"items": found}))

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {k: v for k, v in handler(self).items() if k != "items" or v is not None}

    def members(self) -> Iterator[shards.Member]:
        """The files of a shard, in its order, on the machine that runs its job.

        Raises:
            PermanentError: it is damaged.
            OSError: it cannot be read.
        """
        try:
            yield from shards.members(self.local_path)
        except shards.ShardError as error:
            raise PermanentError(f"{self.name} {error}") from None


def _told(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    return str(error)
