"""A kind without any worker: in a notebook, a test, a benchmark.

    from cvq import LocalContext

    ctx = LocalContext("out")
    result = ctx.run("style-transfer", content="a.jpg", style=["b.jpg"], size=256)
    print(result, ctx.artifacts["result.png"].path, ctx.curve("total_loss"))

Inputs are checked as at submission; a model is given as a file.
"""

from __future__ import annotations

import contextlib
import logging
import math
import shutil
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from .. import checkpoints
from ..artifacts import ArtifactStore
from ..errors import CheckpointError, InvalidInputError, UsageError
from ..inputs.files import Staging
from ..inputs.models import ModelFile
from ..inputs.submission import InputCheck, check_inputs, fetched_inputs, store_inputs
from ..kinds import get_kind, make_spec
from ..kinds.kind import Kind, digest
from ..kinds.running import run_kind
from ..kinds.spec import Spec
from ..names import Names
from ..settings import Settings
from ..states import Role
from .base import BaseContext, Progress

log = logging.getLogger("cvq.job")

_KEPT_CHECKPOINTS = 2
_SHOWN_EVERY_S = 1.0


class LocalArtifact(NamedTuple):
    """A file that was left, with its role and media type."""

    path: Path
    role: str
    media_type: str | None


class LocalContext(BaseContext):
    """A `Context` that needs no worker, database or queue: it keeps what it is told.

    Checkpoints lie in a hidden folder of its folder. A context of the same folder goes on from the
    newest that fits: a cell that was interrupted is run again, and resumes.

    Args:
        folder: where files go; made where it is not there.
        device: `cpu`, `cuda` or `mps`.
        cache: a folder for what can be made again; default: `cache` in the folder.
        checkpoint_every: seconds between checkpoints; 0: one after every step.
        show: print progress to stderr, once a second at most.

    Attributes:
        folder: as given.
        artifacts: the files that were left, by name.
        steps: every report of progress.
    """

    def __init__(
        self,
        folder: Path | str = "cvq-out",
        *,
        device: str = "cpu",
        cache: Path | None = None,
        checkpoint_every: float = 30.0,
        show: bool = False,
    ) -> None:
        self.folder = Path(folder).absolute()
        super().__init__(
            job_id=0,
            attempt=1,
            device=device,
            cache=cache or self.folder / "cache",
            kind="",
            spec_hash="",
            out=self.folder / ".writing",
            checkpoint_every=checkpoint_every,
            goals={},
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        self.artifacts: dict[str, LocalArtifact] = {}
        self.steps: list[Progress] = []
        self._names = Names()
        self._curves: dict[str, list[tuple[int, float | None]]] = {}
        self._show, self._shown_at = show, -math.inf

    def run(self, kind: str | Kind, /, **values: Any) -> Any:
        """Run a kind in this process, and return what its function returns.

        Inputs are checked as at submission, and copied into the cache under their content. Once
        the kind has ended, its checkpoints are gone. A worker would store the result as JSON.

        Args:
            kind: a kind, or its name.
            values: its fields, as for `Client.submit`; a model as a path.

        Raises:
            UsageError: a value or a file is wrong.
        """
        from ..pictures import images  # Pillow, which a context of one's own need not load

        settings = Settings.load()
        if not isinstance(kind, str | Kind):
            raise UsageError(f"{kind!r} is not a kind: give one, or its name")
        found = get_kind(kind, settings) if isinstance(kind, str) else kind
        spec = self._placed(make_spec(found, values), settings)
        self._kind, self._spec_hash = found.name, digest(found.name, spec.model_dump(mode="json"))
        self.goals = found.goals
        self._due_at = time.monotonic() + self._checkpoint_every
        images.limit_pixels(settings.max_pixels)
        try:
            result = run_kind(found, spec, self)
        finally:
            shutil.rmtree(self._out, ignore_errors=True)
        shutil.rmtree(self._checkpoint_folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another kind's are there, or none
            self._checkpoint_folder.parent.rmdir()
        return result

    def _placed(self, spec: Spec, settings: Settings) -> Spec:
        """The specification with its inputs checked, and brought into a store in the cache."""
        artifacts = ArtifactStore((self.cache / "store").as_uri())

        def model(file: ModelFile) -> tuple[Path, list[str]]:
            assert file.sha256 is not None
            return artifacts.fetch_input(file.sha256, self.cache), []

        with fetched_inputs(spec, settings, download=False) as fetched:
            checked = check_inputs(fetched, settings, _LocalModels())
            stored = store_inputs(checked.spec, artifacts)
        for note in checked.notes:
            log.warning("%s", note)
        staging = Staging(artifacts, self.cache, settings.kinds, model)
        return stored.with_inputs(file.placed(file.stage(staging)) for file in stored.inputs())

    @property
    def metric_names(self) -> list[str]:
        """The metrics that were recorded, in the order in which they came."""
        return list(self._curves)

    def curve(self, name: str) -> list[tuple[int, float | None]]:
        """A metric over the steps: (step, value); None for a value that is not finite."""
        return self._curves.get(name, [])

    def confirm(self) -> None:
        """Nothing can be lost here."""

    def checkpoint_due(self) -> bool:
        """Whether it is time for the next checkpoint."""
        return not self._checkpoint_every or super().checkpoint_due()

    def _pass_progress(self, progress: Progress) -> None:
        self.steps.append(progress)
        now = time.monotonic()
        if self._show and (progress.done == progress.total or now >= self._shown_at):
            self._shown_at = now + _SHOWN_EVERY_S
            print(f"{progress.unit} {progress.done} of {progress.total}", file=sys.stderr)

    def _pass_metrics(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            point = (step, value if math.isfinite(value) else None)
            self._curves.setdefault(name, []).append(point)

    def _publish(self, path: Path, name: str, role: str, media_type: str | None) -> None:
        before = self.artifacts.get(name)
        target = before.path if before else self.folder / self._names.place(name)
        if role == Role.CHECKPOINT:
            target = self._checkpoint_folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
        shutil.rmtree(self._out / path.relative_to(self._out).parts[0])
        with contextlib.suppress(OSError):  # another file is being written
            self._out.rmdir()
        if role == Role.CHECKPOINT:
            for old in self._checkpoints()[_KEPT_CHECKPOINTS:]:
                old.unlink()
        else:
            self.artifacts[name] = LocalArtifact(target, role, media_type)

    @property
    def _checkpoint_folder(self) -> Path:
        """Where checkpoints of this kind with these values lie, and nothing else."""
        return (
            self.folder
            / ".checkpoints"
            / (f"{self._kind}-{self._spec_hash[:16]}" if self._kind else "own")
        )

    def _checkpoints(self) -> list[Path]:
        """Those checkpoints, the newest first."""
        if not self._checkpoint_folder.is_dir():
            return []
        paths = self._checkpoint_folder.iterdir()
        return sorted(paths, key=lambda path: checkpoints.step_of(path.name) or 0, reverse=True)

    def _saved(self) -> Path | None:
        for path in self._checkpoints():
            try:
                checkpoints.check(path, kind=self._kind, spec_hash=self._spec_hash)
            except CheckpointError as error:
                log.warning("%s", error)
            else:
                return path
        return None

    @property
    def _is_to_stop(self) -> bool:
        return False


class _LocalModels:
    """Models on this machine: each is given as a file. What it offers is seen when it is read."""

    def find(self, file: ModelFile, offer: str | None) -> InputCheck:
        """The file that an input names."""
        path = Path(file.reference or "").expanduser()
        if not path.is_file():
            raise InvalidInputError(f"model {path} is not a file: without a worker, give one")
        return InputCheck(file.model_copy(update={"name": path.name, "path": path}))
