"""The other implementation of the context protocol: it writes down what a model says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cvq import checkpoints
from cvq.checkpoints import Checkpoint


@dataclass
class Recorder:
    """A context without a batch system; artifacts land in `folder`."""

    folder: Path
    job_id: int = 7
    attempt: int = 1
    device: str = "cpu"
    steps: list[tuple[int, int, str]] = field(default_factory=list)
    shares: list[float | None] = field(default_factory=list)
    values: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    roles: dict[str, str] = field(default_factory=dict)
    # Where to write a checkpoint after every step, and the one to resume from.
    saving: bool = False
    found: Checkpoint | None = None

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def progress(
        self, done: int, total: int, unit: str = "step", *, share: float | None = None
    ) -> None:
        self.steps.append((done, total, unit))
        self.shares.append(share)

    def metrics(self, step: int, **values: float) -> None:
        self.values.append((step, values))

    def confirm(self) -> None:
        pass

    def resume(self) -> Checkpoint | None:
        return self.found

    def checkpoint_due(self) -> bool:
        return self.saving

    def checkpoint(self, step: int, **state: Any) -> None:
        path = self.folder / checkpoints.file_name(step)
        checkpoints.write(path, kind="test", spec_hash="0", step=step, state=state)

    @contextmanager
    def artifact(
        self, name: str, *, role: str = "result", media_type: str | None = None
    ) -> Iterator[Path]:
        yield self.folder / name
        assert (self.folder / name).is_file()
        self.roles[name] = role
