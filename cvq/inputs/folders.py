"""The folder that a program runs in, as an input of its job."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import PrivateAttr

from ..errors import InvalidInputError, SetupError
from ..files import why
from ..folders.archive import pack
from ..folders.listing import Listing, list_folder
from .files import InputFile
from .submission import InputCheck, Submission

if TYPE_CHECKING:
    from ..artifacts import ArtifactStore
    from ..datasets import Progress

MOST_BYTES, MOST_FILES = 200_000_000, 20_000
_ADVICE = (
    "ignore in git what the program does not read, or give another folder (--workdir FOLDER, or "
    "--workdir none)"
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
        self._without = (submission.settings.home,)
        found = self._listed()
        return InputCheck(
            self.model_copy(update={"name": found.folder.name or "/"}),
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
        found = self._listed()
        try:
            with TemporaryDirectory(prefix="cvq-folder-") as scratch:
                packed = pack(found.members, Path(scratch) / "folder.tar", progress)
                return self._stored(packed, artifacts)
        except OSError as error:
            raise SetupError(f"{found.folder} cannot be packed: {why(error)}") from error

    def _listed(self) -> Listing:
        found = list_folder(self.given_path, self._without)
        if not found.members:
            raise InvalidInputError(
                f"{found.folder} has no file for the program, or git ignores all of them: give "
                "another folder (--workdir FOLDER, or --workdir none)"
            )
        found.check_size(MOST_BYTES, MOST_FILES, _ADVICE)
        return found
