"""The other implementation of the context protocol: it writes down what a model says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Recorder:
    """A context without a batch system; artifacts land in `folder`."""

    folder: Path
    job_id: int = 7
    device: str = "cpu"
    steps: list[tuple[int, int, str]] = field(default_factory=list)
    values: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    roles: dict[str, str] = field(default_factory=dict)

    def progress(self, done: int, total: int, unit: str = "step") -> None:
        self.steps.append((done, total, unit))

    def metrics(self, step: int, **values: float) -> None:
        self.values.append((step, values))

    @contextmanager
    def artifact(
        self, name: str, *, role: str = "result", media_type: str | None = None
    ) -> Iterator[Path]:
        yield self.folder / name
        assert (self.folder / name).is_file()
        self.roles[name] = role
