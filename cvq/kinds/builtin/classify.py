"""The kind `classify`: it uses what a classifier has learnt."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ...inputs.images import ImagesFile
from ...inputs.models import ModelFile, ModelOf
from ..inference import InferenceSpec
from ..kind import Kind
from ..spec import Argument


class ClassifySpec(InferenceSpec):
    """Say what is on pictures, with a classifier that another job has trained."""

    images: Annotated[list[ImagesFile], Argument("IMAGE...")] = Field(
        min_length=1, max_length=1000, description="Pictures to classify."
    )
    model: Annotated[ModelFile, ModelOf("classifier")] = Field(
        description="The job that trained the classifier."
    )
    top: int = Field(3, ge=1, le=256, description="How many of the likeliest classes to name.")
    invert: bool | None = Field(
        None,
        description="Whether to invert the pictures; default: as for the pictures that the "
        "model was trained on.",
    )


KIND = Kind(
    name="classify",
    spec=ClassifySpec,
    run="cvq_workers.models.classify:run",
    summary="Classify pictures with a trained model.",
    extra="worker",
    inference="cvq_workers.models.classify:Classify",
    items="images",
    headline=("answer", "class", "probability"),
    endings=("json",),
    cache=True,
)
