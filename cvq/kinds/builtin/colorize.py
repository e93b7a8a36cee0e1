"""The kind `colorize`: it uses what a colorizer has learnt."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ...inputs.files import ImageFile
from ...inputs.models import ModelFile, ModelOf
from ..kind import Kind
from ..spec import Argument, Spec


class ColorizeSpec(Spec):
    """Colour pictures with a network that another job has trained."""

    images: Annotated[list[ImageFile], Argument("IMAGE...")] = Field(
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
    run="cvq_workers.models.colorizer:colorize",
    summary="Colour pictures with a trained colorizer.",
    extra="worker",
    headline=("answer",),
    endings=("png",),
)
