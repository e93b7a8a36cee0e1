"""A kind whose models are of any size: it tells a file of each that is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from cvq import Argument, Inference, InferenceSpec, Kind


class HolderSpec(InferenceSpec):
    """Hold a model."""

    numbers: Annotated[list[int], Argument("NUMBER...")]
    which: int = 0
    size: int = Field(1, description="Bytes of the model.")
    log: str = Field(description="A file that is told of every load.")


class Holder(Inference):
    """Answers with the number that it is given."""

    spec: HolderSpec

    def load(self, model: Any) -> bytearray:
        """Take so much memory, and use it."""
        with Path(self.spec.log).open("a") as file:
            file.write(f"{self.spec.which}\n")
        held = bytearray(self.spec.size)
        held[::4096] = b"x" * len(held[::4096])
        return held

    def infer(self, model: bytearray, batch: Sequence[int]) -> list[dict[str, int]]:
        """The same numbers."""
        return [{"number": number} for number in batch]


KIND = Kind(
    name="holder",
    spec=HolderSpec,
    summary="Hold a model.",
    inference="benchmarks.bulk.holder:Holder",
    items="numbers",
)
