"""The kind `predict-sum`: it uses what a sum-regressor has learnt."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from ...inputs.models import ModelFile, ModelOf
from ..inference import InferenceSpec
from ..kind import Kind
from ..spec import Argument


class PredictSumSpec(InferenceSpec):
    """Add pairs of numbers with a trained sum-regressor."""

    numbers: Annotated[list[float], Argument("NUMBER...")] = Field(
        min_length=2, max_length=20_000, description="Numbers, two for each sum."
    )
    model: Annotated[ModelFile, ModelOf("adder")] = Field(
        description="The job that trained the network."
    )

    @model_validator(mode="after")
    def _in_pairs(self) -> Self:
        if len(self.numbers) % 2:
            raise ValueError(f"{len(self.numbers)} numbers are no pairs: give two for each sum")
        return self


KIND = Kind(
    name="predict-sum",
    spec=PredictSumSpec,
    run="cvq_workers.models.sum_regressor:predict",
    summary="Add pairs of numbers with a trained sum-regressor.",
    extra="worker",
    inference="cvq_workers.models.sum_regressor:PredictSum",
    items="numbers",
    headline=("answer", "sum"),
    endings=("json",),
    cache=True,
)
