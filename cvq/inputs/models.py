"""The trained model of another job, as an input of one that uses it.

Without a database, as in a `LocalContext`, a model is given as a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from .files import InputFile, Staging
from .submission import InputCheck, Submission


@dataclass(frozen=True)
class ModelOf:
    """Marks a `ModelFile` with what the model's kind must offer; see `Kind.offers`."""

    offer: str


class ModelFile(InputFile):
    """The trained model of another job, given as its number, or as `@` (the last job), `@~1`.

    Where that job has not ended yet, this one waits for it.
    """

    metavar: ClassVar[str] = "JOB"
    is_path: ClassVar[bool] = False

    job: int | None = Field(None, ge=1)
    reference: str | None = Field(None, exclude=True)
    # Modules with more kinds (`CVQ_KINDS`) on this machine: one of them may have trained it.
    modules: list[str] = Field([], exclude=True)
    # What its training says is wrong with it.
    warned: list[str] = Field([], exclude=True)

    @classmethod
    def _parse(cls, value: Any) -> Any:
        if isinstance(value, int | str | Path) and not isinstance(value, bool):
            return {"name": f"model of job {value}", "reference": str(value)}
        if not isinstance(value, dict | ModelFile):
            raise ValueError("give the job that trained it, or its id")
        return value

    def check(self, submission: Submission) -> InputCheck:
        """Look it up."""
        marks = submission.marks(self)
        offer = next((mark.offer for mark in marks if isinstance(mark, ModelOf)), None)
        return submission.models.find(self, offer)

    def stage(self, staging: Staging) -> dict[str, Any]:
        """Bring the file that its job has left, and what that job says is wrong with it."""
        path, warned = staging.model(self)
        return {"path": str(path), "warned": warned, "modules": staging.kinds}
