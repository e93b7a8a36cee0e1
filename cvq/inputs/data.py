"""The data set that a training learns from, as an input of its job."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ClassVar, Self

from .. import datasets
from ..errors import SetupError, UsageError
from .files import TypedFile
from .submission import InputCheck, Submission

if TYPE_CHECKING:
    from ..artifacts import ArtifactStore
    from ..settings import Settings


class DataSource(TypedFile):
    """A data set: a known name such as `digits`, a folder, or a zip of one.

    It is resolved when the job is submitted: a folder goes into the store as a zip. `digits` needs
    no file.
    """

    metavar: ClassVar[str] = "NAME|FOLDER|ZIP"
    is_path: ClassVar[bool] = False

    @property
    def is_named(self) -> bool:
        """Whether these are data that have a name on every machine."""
        return self.name in datasets.KNOWN

    def fetch(self, target: Path, settings: Settings, *, download: bool) -> Self:
        """Download a known data set that is not on this machine."""
        if download and self._is_known() and datasets.KNOWN[self.name].files:
            datasets.fetch(self.name, settings.home)
        return super().fetch(target, settings, download=download)

    def check(self, submission: Submission) -> InputCheck:
        """Find a known data set, or look through what was given.

        Raises:
            UsageError: it cannot be learnt from.
            SetupError: it is not on this machine.
        """
        if self._is_known():
            return InputCheck(
                self.model_copy(update={"path": self._found(submission.settings.home)})
            )
        if self.path is None:
            raise UsageError(f"data '{self.name}': give a name, a folder or a zip")
        from ..datasets.survey import survey  # Pillow, which a kind without data need not load

        found = survey(
            self.path,
            labelled=getattr(submission.spec, "labelled", False),
            hold_out=getattr(submission.spec, "hold_out", ()),
            max_pixels=submission.settings.max_pixels,
        )
        name = self.name or self.path.resolve().name
        notes = [f"data {name}: {found.summary}; {'; '.join(found.notes)}"]
        return InputCheck(
            self.model_copy(update={"name": name}), notes=tuple(notes if found.notes else ())
        )

    def store(self, artifacts: ArtifactStore, progress: datasets.Progress | None = None) -> Self:
        """The same with its content in the store, a folder as a zip.

        Raises:
            SetupError: it cannot be packed.
        """
        if self.path is None or not self.path.is_dir():
            return super().store(artifacts, progress)
        try:
            with TemporaryDirectory(prefix="cvq-data-") as scratch:
                packed = datasets.pack(self.path, Path(scratch) / "data.zip", progress)
                return self._stored(packed, artifacts)
        except OSError as error:
            raise SetupError(f"{self.path} cannot be packed: {error}") from error

    def hashed(self) -> Self | None:
        """The same with its SHA-256 as `store` gives it; None of a folder, which is packed."""
        return self._hashed()

    def _is_known(self) -> bool:
        """Whether a name was given; a folder that is called the same comes first."""
        return (
            self.path is not None and str(self.path) in datasets.KNOWN and not self.path.exists()
        )

    def _found(self, home: Path) -> Path | None:
        """Where a known data set lies; None where the worker has it."""
        if not datasets.KNOWN[self.name].files:
            return None
        if (found := datasets.find(self.name, home)) is None:
            raise SetupError(
                f"data {self.name} is not on this machine: `cvq data fetch {self.name}` downloads "
                f"it; or {datasets.where_to_put(self.name, home)}"
            )
        return found
