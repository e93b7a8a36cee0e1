"""The kind `colorize`: it uses what a colorizer has learnt."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ...inputs.images import ImagesFile
from ...inputs.models import ModelFile, ModelOf
from ..inference import InferenceSpec
from ..kind import Kind
from ..spec import Argument


class ColorizeSpec(InferenceSpec):
    """Colour pictures with a network that another job has trained."""

    images: Annotated[list[ImagesFile], Argument("IMAGE...")] = Field(
        min_length=1, max_length=1000, description="Pictures to colour; their colours are unused."
    )
    model: Annotated[ModelFile, ModelOf("colorizer")] = Field(
        description="The job that trained the colorizer."
    )
    strength: float = Field(
        1.0, ge=0, le=5, description="Factor on the colours; more is gaudier, 0 is grey."
    )


KIND = Kind(
    name="colorize",
    spec=ColorizeSpec,
    run="cvq_workers.models.colorize:run",
    summary="Colour pictures with a trained colorizer.",
    extra="worker",
    inference="cvq_workers.models.colorize:Colorize",
    items="images",
    headline=("answer",),
    endings=("png",),
    cache=True,
)
