"""The folder that a program runs in, and the data beside its files, as inputs of its job."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import PrivateAttr, field_validator

from ..errors import InvalidInputError, SetupError
from ..files import why
from ..folders.archive import pack
from ..folders.listing import Listing, list_all, list_folder
from ..text import UNPRINTABLE
from .files import InputFile
from .submission import InputCheck, Submission

if TYPE_CHECKING:
    from ..artifacts import ArtifactStore
    from ..datasets import Progress

MOST_BYTES, MOST_FILES = 200_000_000, 20_000
_LONGEST_PLACE = 200
_ADVICE = (
    "give data as data (--data PATH), ignore in git what the program does not read, or give "
    "another folder (--workdir FOLDER, or none)"
)


class WorkFolder(InputFile):
    """The files of a program, as they lie in a folder when the job is submitted.

    They go into the store as one tar: the same files are stored once.
    """

    metavar: ClassVar[str] = "FOLDER"

    _without: tuple[Path, ...] = PrivateAttr(())  # folders that are no part of it

    def check(self, submission: Submission) -> InputCheck:
        """Look through the folder; what stays out of it is noted.

        Raises:
            InvalidInputError: it is none, is too large, or cannot be read.
        """
        data = (file.path for file in submission.spec.inputs() if isinstance(file, PlacedData))
        apart = [path for path in data if path is not None]
        self._without = (submission.settings.home, *apart)
        found = self._listed()
        return InputCheck(
            self.model_copy(update={"name": _name_of(found.folder)}),
            notes=tuple(found.notes),
        )

    def store(self, artifacts: ArtifactStore, progress: Progress | None = None) -> Self:
        """The same with its files in the store.

        Raises:
            InvalidInputError: a file cannot be read.
            SetupError: they cannot be packed.
        """
        if self.path is None:
            return self
        return self.model_copy(update=_packed(self._listed(), artifacts, progress))

    def _listed(self) -> Listing:
        found = list_folder(self.given_path, self._without)
        if not found.members:
            raise InvalidInputError(
                f"{found.folder} has no file for the program, or git ignores all of them: give "
                "another folder (--workdir FOLDER, or --workdir none)"
            )
        found.check_size(MOST_BYTES, MOST_FILES, _ADVICE)
        return found


class PlacedData(InputFile):
    """A file or a folder that a program finds in its own folder, at `place`.

    It is given as a path, or as `PLACE=PATH`. A path within the folder that one stands in is its
    place; of any other it is the last name. A folder goes into the store as one tar, a file as it
    is: the same data are stored once.
    """

    metavar: ClassVar[str] = "[PLACE=]PATH"
    is_path: ClassVar[bool] = False

    place: str
    folder: bool = False

    @field_validator("place")
    @classmethod
    def _is_within(cls, place: str) -> str:
        return _place(place, Path())  # a row may say anything

    @classmethod
    def _parse(cls, value: Any) -> Any:
        if not isinstance(value, str | Path) or value == "":
            return super()._parse(value)
        place, path = _parted(str(value))
        parsed = super()._parse(path)
        if "path" in parsed:
            parsed["place"] = _place(place, parsed["path"])
        return parsed

    def check(self, submission: Submission) -> InputCheck:
        """Look at the file, or through the folder.

        Raises:
            InvalidInputError: it cannot be read.
        """
        if not self.given_path.is_dir():
            found = super().check(submission)
            return InputCheck(found.file.model_copy(update={"folder": False}))
        listed = list_all(self.given_path)
        if not listed.members:
            raise InvalidInputError(f"folder {listed.folder} has no files")
        update = {"name": _name_of(listed.folder), "folder": True}
        return InputCheck(self.model_copy(update=update), notes=tuple(listed.notes))

    def store(self, artifacts: ArtifactStore, progress: Progress | None = None) -> Self:
        """The same with its content in the store.

        Raises:
            InvalidInputError: a file cannot be read.
            SetupError: they cannot be packed.
        """
        if self.path is None or not self.folder:
            return super().store(artifacts, progress)
        stored = _packed(list_all(self.path), artifacts, progress)
        return self.model_copy(update=stored)

    def hashed(self) -> Self | None:
        """The same with its SHA-256 as `store` gives it; None of a folder, which is packed."""
        return self._hashed()


def _name_of(folder: Path) -> str:
    """What a folder is called, as it can be stored; `/` of that without a name."""
    return folder.name.encode("utf-8", "replace").decode() or "/"


def _packed(found: Listing, artifacts: ArtifactStore, progress: Progress | None) -> dict[str, Any]:
    """Pack the files of a folder into the store; the SHA-256 and bytes of the archive."""
    try:
        with TemporaryDirectory(prefix="cvq-folder-") as scratch:
            packed = pack(found.members, Path(scratch) / "folder.tar", progress)
            digest, size = artifacts.put_input(packed)
    except OSError as error:
        raise SetupError(f"{found.folder} cannot be packed: {why(error)}") from error
    return {"sha256": digest, "bytes": size}


def _parted(given: str) -> tuple[str, str]:
    """Place and path of `PLACE=PATH`; a path that is there may have a `=` of its own."""
    place, equals, path = given.partition("=")
    if equals and not os.path.lexists(given):
        return place, path
    return "", given


def _place(given: str, path: Path) -> str:
    """Where data lie in a program's folder.

    Raises:
        ValueError: that leads out of it.
    """
    typed = PurePosixPath(os.path.normpath(path))
    usual = typed if not typed.is_absolute() and ".." not in typed.parts else typed.name
    plain = (given or str(usual)).encode("utf-8", "replace").decode()
    parts = PurePosixPath(plain).parts
    sound = parts and not plain.startswith(("/", "~")) and ".." not in parts
    if not sound or UNPRINTABLE.search(plain) or len(plain) > _LONGEST_PLACE:
        raise ValueError(f"'{plain[:80]}' is no place in the program's folder: write NAME=PATH")
    return "/".join(parts)
