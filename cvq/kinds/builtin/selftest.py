"""The kind `selftest`: a small job that proves that a worker works."""

from __future__ import annotations

from pydantic import Field

from ..kind import Kind
from ..spec import Spec


class SelftestSpec(Spec):
    """Count steps on the worker's device and say what was found there."""

    steps: int = Field(10, ge=1, le=1_000_000, description="Steps to count.")
    pause: float = Field(0.05, ge=0, le=60, description="Seconds that a step takes.")


KIND = Kind(
    name="selftest",
    spec=SelftestSpec,
    run="cvq_workers.models.selftest:run",
    summary="Count a few steps: proves that a worker takes jobs and reports.",
    headline=("value",),
    endings=("txt",),
)
