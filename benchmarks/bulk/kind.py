"""A kind whose jobs have nothing to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from cvq import Argument, Inference, InferenceSpec, Kind


class NoopSpec(InferenceSpec):
    """Do nothing."""

    numbers: Annotated[list[int], Argument("NUMBER...")]


class Noop(Inference):
    """Answers with the number that it is given."""

    def load(self, model: Any) -> None:
        """Nothing."""

    def infer(self, model: None, batch: Sequence[int]) -> list[dict[str, int]]:
        """The same numbers."""
        return [{"number": number} for number in batch]


KIND = Kind(
    name="noop",
    spec=NoopSpec,
    summary="Do nothing.",
    inference="benchmarks.bulk.kind:Noop",
    items="numbers",
)
